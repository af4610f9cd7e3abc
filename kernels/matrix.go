package kernels

import (
	"fmt"
	"math"
	"math/bits"
	"unsafe"
)

// A Matrix is a row-major view on host or device memory: element (i, j) lies
// i·Stride + j elements after the first. It never owns the memory; copying it
// is cheap. The zero value is an empty float32 matrix on the host.
//
// The fields may be changed to narrow a view; [Matrix.Validate], which every
// operation calls, refuses a view that its memory does not hold.
type Matrix struct {
	Rows, Cols int
	Stride     int // elements from one row to the next, at least Cols
	DType      DType
	Device     Device

	host unsafe.Pointer // first element, host memory
	addr uintptr        // first element, device memory
	span int            // bytes from the first element to the end of the memory
	keep any            // keeps another library's memory alive
	home Device         // where the memory is
}

// Of returns a view on a host slice, without a copy. Errors: [ErrShape] if a
// size is negative, stride < cols, or data is too short.
func Of[T float32 | float64](data []T, rows, cols, stride int) (Matrix, error) {
	dt := Float32
	if unsafe.Sizeof(*new(T)) == 8 {
		dt = Float64
	}
	m := Matrix{Rows: rows, Cols: cols, Stride: stride, DType: dt, host: unsafe.Pointer(unsafe.SliceData(data)), span: len(data) * dt.Size()}
	return m.checked("Of")
}

// OfBits returns a view on host values of a 16-bit type ([Float16] or
// [BFloat16]), without a copy. Errors: as [Of], and [ErrUnsupported] for
// another type.
func OfBits(dt DType, data []uint16, rows, cols, stride int) (Matrix, error) {
	if dt.Size() != 2 {
		return Matrix{}, fmt.Errorf("kernels: OfBits: type %s is not a 16-bit type: %w", dt, ErrUnsupported)
	}
	m := Matrix{Rows: rows, Cols: cols, Stride: stride, DType: dt, host: unsafe.Pointer(unsafe.SliceData(data)), span: 2 * len(data)}
	return m.checked("OfBits")
}

// Foreign returns a view on memory of another library (a DLPack tensor, a
// pinned buffer): ptr is the address of the first element on device d. The
// caller vouches that the memory holds (rows−1)·stride + cols elements; keep is
// held as long as the view or a copy of it lives. Errors: [ErrShape] for a bad
// size, and for a non-empty matrix an address that is nil, no multiple of the
// element size, or so high that the memory would wrap around; [ErrUnsupported]
// for an unknown type. The address of an empty matrix is not kept: libraries
// hand out any number there.
func Foreign(d Device, ptr uintptr, dt DType, rows, cols, stride int, keep any) (Matrix, error) {
	m := Matrix{Rows: rows, Cols: cols, Stride: stride, DType: dt, Device: d, keep: keep, span: math.MaxInt, home: d}
	if !dt.Valid() {
		return Matrix{}, fmt.Errorf("kernels: Foreign: %s: %w", dt, ErrUnsupported)
	}
	m.host, m.addr = foreignMemory(d, ptr, m.Empty())
	if err := m.Validate(); err != nil {
		return Matrix{}, fmt.Errorf("kernels: Foreign: %w", err)
	}
	n, _ := m.extent()
	m.span = n * dt.Size()
	if ptr%uintptr(dt.Size()) != 0 && n > 0 || wraps(ptr, m.span) {
		return Matrix{}, fmt.Errorf("kernels: Foreign: address %#x of %d bytes of %s: misaligned or beyond the address space: %w", ptr, m.span, dt, ErrShape)
	}
	return m, nil
}

// foreignMemory sorts an address by where it points. The runtime ends the
// process when it meets a small number in a pointer, so that those of empty
// views and those of the first page, which no system maps, become nil.
func foreignMemory(d Device, ptr uintptr, empty bool) (host unsafe.Pointer, addr uintptr) {
	const page = 4096
	switch {
	case empty || ptr < page:
		return nil, 0
	case d.Kind == Host:
		return *(*unsafe.Pointer)(unsafe.Pointer(&ptr)), 0 // not Go memory, or kept alive by keep
	default:
		return nil, ptr
	}
}

// wraps reports whether n bytes at ptr end beyond the address space.
func wraps(ptr uintptr, n int) bool { return n > 0 && ptr > math.MaxUint-uintptr(n) }

func (m Matrix) checked(op string) (Matrix, error) {
	if err := m.Validate(); err != nil {
		return Matrix{}, fmt.Errorf("kernels: %s: %w", op, err)
	}
	return m, nil
}

// Empty reports whether the matrix has no elements.
func (m Matrix) Empty() bool { return m.Rows == 0 || m.Cols == 0 }

// extent returns the elements between the first and the last, both included;
// ok is false if that overflows an int. Sizes must not be negative.
func (m Matrix) extent() (n int, ok bool) {
	if m.Empty() {
		return 0, true
	}
	hi, lo := bits.Mul(uint(m.Rows-1), uint(m.Stride))
	sum, carry := bits.Add(lo, uint(m.Cols), 0)
	if hi != 0 || carry != 0 || sum > math.MaxInt/8 {
		return 0, false
	}
	return int(sum), true
}

// Validate checks the view against itself and its memory. Errors: [ErrShape],
// [ErrUnsupported] for an unknown type, or [ErrDevice] if Device was changed.
func (m Matrix) Validate() error {
	if !m.DType.Valid() {
		return fmt.Errorf("element type %s: %w", m.DType, ErrUnsupported)
	}
	if m.Rows < 0 || m.Cols < 0 {
		return fmt.Errorf("size %d x %d is negative: %w", m.Rows, m.Cols, ErrShape)
	}
	if m.Stride < m.Cols {
		return fmt.Errorf("stride %d < cols %d: %w", m.Stride, m.Cols, ErrShape)
	}
	if m.Stride > math.MaxInt/8 {
		return fmt.Errorf("stride %d has more bytes than an address can count: %w", m.Stride, ErrShape)
	}
	n, ok := m.extent()
	if !ok || n*m.DType.Size() > m.span {
		return fmt.Errorf("%d x %d %s with stride %d does not fit memory of %d bytes: %w", m.Rows, m.Cols, m.DType, m.Stride, m.span, ErrShape)
	}
	if n == 0 {
		return nil
	}
	if m.Address() == 0 {
		return fmt.Errorf("%d x %d without memory: %w", m.Rows, m.Cols, ErrShape)
	}
	if m.Device != m.home {
		return fmt.Errorf("device %s for memory on %s: %w", m.Device, m.home, ErrDevice)
	}
	// float64 slices are aligned to 4 bytes on 32-bit machines.
	if align := min(m.DType.Size(), int(unsafe.Alignof(float64(0)))); m.Address()%uintptr(align) != 0 {
		return fmt.Errorf("address %#x is not aligned for %s: %w", m.Address(), m.DType, ErrShape)
	}
	return nil
}

// View returns the rows x cols view whose first element is (row, col) of m.
// Errors: [ErrShape] if it does not lie within m.
func (m Matrix) View(row, col, rows, cols int) (Matrix, error) {
	if err := m.Validate(); err != nil {
		return Matrix{}, fmt.Errorf("kernels: View: %w", err)
	}
	if row < 0 || col < 0 || rows < 0 || cols < 0 || row > m.Rows-rows || col > m.Cols-cols {
		return Matrix{}, fmt.Errorf("kernels: View: %d x %d at (%d, %d) of %d x %d: %w", rows, cols, row, col, m.Rows, m.Cols, ErrShape)
	}
	v := m
	v.Rows, v.Cols = rows, cols
	if v.Empty() {
		return v, nil // keep the base: a pointer behind the end would hold other memory alive
	}
	off := row*m.Stride + col
	if m.host != nil {
		v.host = unsafe.Add(m.host, off*m.DType.Size())
	} else {
		v.addr += uintptr(off * m.DType.Size())
	}
	v.span -= off * m.DType.Size()
	return v, nil
}

// Address returns the address of the first element, for backends; 0 if there
// is no memory. It does not keep the memory alive: hold the Matrix until the
// address is no longer used.
func (m Matrix) Address() uintptr {
	if m.host != nil {
		return uintptr(m.host)
	}
	return m.addr
}

// Floats returns the elements of a host matrix of type T from the first to the
// last, padding between rows included: element (i, j) is at i·Stride + j. The
// slice shares the matrix's memory. Errors: [ErrDevice] if the matrix is not on
// the host, [ErrUnsupported] if T is not its type, and those of [Matrix.Validate].
func Floats[T float32 | float64](m Matrix) ([]T, error) {
	want := Float32
	if unsafe.Sizeof(*new(T)) == 8 {
		want = Float64
	}
	if m.DType != want {
		return nil, fmt.Errorf("kernels: Floats: matrix is %s, not %s: %w", m.DType, want, ErrUnsupported)
	}
	n, err := m.hostLen("Floats")
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(m.host), n), nil
}

// Bits returns the elements of a host matrix of a 16-bit type, as [Floats] does.
func Bits(m Matrix) ([]uint16, error) {
	if m.DType.Size() != 2 {
		return nil, fmt.Errorf("kernels: Bits: matrix is %s, not a 16-bit type: %w", m.DType, ErrUnsupported)
	}
	n, err := m.hostLen("Bits")
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*uint16)(m.host), n), nil
}

func (m Matrix) hostLen(op string) (int, error) {
	if err := m.Validate(); err != nil {
		return 0, fmt.Errorf("kernels: %s: %w", op, err)
	}
	if m.Device != (Device{}) {
		return 0, fmt.Errorf("kernels: %s: matrix is on %s: %w", op, m.Device, ErrDevice)
	}
	n, _ := m.extent()
	return n, nil
}

// rowBytes returns the elements of a row of a valid host matrix, not empty.
func (m Matrix) rowBytes(row int) []byte {
	size := m.DType.Size()
	return unsafe.Slice((*byte)(unsafe.Add(m.host, row*m.Stride*size)), m.Cols*size)
}

// byteRange returns the addresses [lo, hi) that the view spans; empty views
// give lo = hi.
func (m Matrix) byteRange() (lo, hi uintptr) {
	n, _ := m.extent()
	lo = m.Address()
	return lo, lo + uintptr(n*m.DType.Size())
}

// Pointer returns the address of the first element of a host matrix, for
// backends; nil for an empty matrix without memory or one on a device.
func (m Matrix) Pointer() unsafe.Pointer { return m.host }
