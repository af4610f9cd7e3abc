package weights

import "fmt"

// Slice returns the part [from, to) of the tensor along its first index, without
// reading it: rows of a matrix, examples of a batch. The part is valid as long
// as the tensor is. Errors: [ErrShape] for a scalar or a range outside.
func (t *Tensor) Slice(from, to int) (*Tensor, error) {
	if len(t.Shape) == 0 || from < 0 || from > to || to > t.Shape[0] {
		return nil, fmt.Errorf("weights: %s: part %d to %d of shape %v: %w", t.Name, from, to, t.Shape, ErrShape)
	}
	width := 0 // elements of one row
	if t.Shape[0] > 0 {
		width = t.count / t.Shape[0]
	}
	part := *t
	part.Shape = append([]int{to - from}, t.Shape[1:]...)
	part.count = (to - from) * width
	skip := int64(from) * int64(width) * int64(t.DType.Size())
	if t.columnMajor() {
		// Rows of a column-major matrix are scattered over the file: the part reads
		// them through the tensor.
		part.source, part.offset, part.big, part.fortran = rowMajor{t}, skip, false, false
		return &part, nil
	}
	part.offset += skip
	return &part, nil
}

// rowMajor reads a tensor's bytes in row-major order, little endian.
type rowMajor struct{ *Tensor }

// ReadAt implements io.ReaderAt for whole elements within the tensor.
func (r rowMajor) ReadAt(b []byte, offset int64) (int, error) {
	if err := r.ReadBytes(b, offset); err != nil {
		return 0, err
	}
	return len(b), nil
}
