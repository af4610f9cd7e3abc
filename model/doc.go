// Package model runs the forward pass of transformers on the kernels of a
// backend, block by block, to look at what each block makes of its input.
//
// A family of models is a row of a table: the names of its tensors and the
// meaning of its configuration. [Open] reads a Hugging Face directory and holds
// the whole of it against the table. A configuration that would change the
// numbers in a way not known here, a tensor that the table does not name, and a
// slot that the checkpoint lacks are refused by name, so that a model either
// runs as the reference implementation runs it or not at all.
//
// [Model.Run] holds the weights of one block at a time, in the type that the
// file has, and the hidden states of the batches, in float32, where the backend
// is. State i is the input of block i; state L, behind the last block, comes
// before the final norm.
//
// A model that is refused can still be looked at: dump.py writes the states of
// any PyTorch model to a file that [OpenDump] reads.
package model
