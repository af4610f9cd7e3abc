package cka

import (
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// undefinedReason explains why HSIC(x, x) = self of a layer gives no CKA.
func undefinedReason(m kernels.Matrix, variance, self float64, o Options) string {
	switch {
	case m.Rows < o.Estimator.MinRows():
		return fmt.Sprintf("%d rows: the %s estimator needs %d", m.Rows, estimatorName(o.Estimator), o.Estimator.MinRows())
	case variance == 0:
		return "the median squared distance is 0: more than half of the rows are equal (give a bandwidth)"
	case math.IsNaN(self) || math.IsInf(self, 0):
		if where := notFinite(m); where != "" {
			return where
		}
		return "HSIC with itself is no finite number: features are NaN, infinite, or so large that their sums overflow"
	default:
		return selfReason(self, o.Estimator)
	}
}

// selfReason explains a finite HSIC with itself that is not above its floor.
func selfReason(self float64, e kernels.Estimator) string {
	switch {
	case self == 0 && e == kernels.Unbiased:
		return "constant features, or rows that are all equally far apart: debiased HSIC with itself is 0"
	case self == 0:
		return "constant features, or so small that their squares vanish (scale them): HSIC with itself is 0"
	case math.Abs(self) <= smallestHSIC:
		return fmt.Sprintf("features so small that their squares lose digits (scale them): HSIC with itself is %.3g", self)
	}
	return fmt.Sprintf("%s HSIC with itself is %.3g, 0 but for rounding: the rows are all equally far apart", estimatorName(e), self)
}

func estimatorName(e kernels.Estimator) string {
	if e == kernels.Unbiased {
		return "debiased"
	}
	return "biased"
}

// notFinite says where a host matrix has its first NaN or Inf; "" if it has none
// or is on a device.
func notFinite(m kernels.Matrix) string {
	value, ok := elements(m)
	if !ok {
		return ""
	}
	for i := range m.Rows {
		for j := range m.Cols {
			v := value(i*m.Stride + j)
			switch {
			case math.IsNaN(v):
				return fmt.Sprintf("NaN at row %d, column %d", i, j)
			case math.IsInf(v, 0):
				return fmt.Sprintf("%v at row %d, column %d", v, i, j)
			}
		}
	}
	return ""
}

// elements returns a reader of a host matrix's memory by element number.
func elements(m kernels.Matrix) (value func(k int) float64, ok bool) {
	switch m.DType {
	case kernels.Float64:
		data, err := kernels.Floats[float64](m)
		return func(k int) float64 { return data[k] }, err == nil
	case kernels.Float32:
		data, err := kernels.Floats[float32](m)
		return func(k int) float64 { return float64(data[k]) }, err == nil
	default:
		data, err := kernels.Bits(m)
		widen := kernels.BFloat16ToFloat32
		if m.DType == kernels.Float16 {
			widen = kernels.Float16ToFloat32
		}
		return func(k int) float64 { return float64(widen(data[k])) }, err == nil
	}
}
