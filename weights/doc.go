// Package weights reads and writes arrays in files: safetensors, also sharded,
// and NumPy's npy and npz.
//
// Readers treat a file as hostile. Every size goes through checked arithmetic
// before it is believed, nothing is allocated that the file does not hold, and
// no input makes a reader panic. Reading is lazy: opening a file validates its
// description, and elements are read when they are asked for.
//
// Writers go through a temporary file in the same folder, so that a name holds
// the old content or the new one and never a part.
package weights
