// Package text reads what people have to run through a model, text files, JSON
// lines and arrays of ids, and cuts it into sequences of equal length.
//
// [Files] and [JSONL] yield documents. [Cut] encodes them one after the other,
// without special tokens, joins their ids and cuts the result, from its start,
// into sequences; no more of the text is encoded than they need. [IDs] reads
// sequences that were made elsewhere.
package text
