// Package cka compares representations: centred kernel alignment (CKA) and the
// Hilbert-Schmidt independence criterion (HSIC) between sets of layers.
//
// A layer is an n x d matrix, one row per example; two layers may differ in d
// but not in n, and row i must be the same example in all of them. [Compare]
// gives the matrix of all pairs within one set or between two, [Permute] the
// p-values of its entries, and [State] accumulates minibatches, on one machine
// or on several, into a sum that does not depend on how they were divided.
//
// The arithmetic is a [kernels.Backend]'s. Features are centred before the Gram
// matrix, sums end in float64, and the cheaper of the sample form (n x n) and
// the feature form (d x d) is taken.
//
// # Which estimator
//
// Biased CKA (Kornblith et al. 2019) of features that have nothing to do with
// each other is not 0. For independent isotropic Gaussian features its
// expectation is about √(pq/((n+p)(n+q))), which is 0.97 for 128 examples of
// 4,096 features. Compare biased values only at equal n and equal widths. The
// debiased estimator (Nguyen et al. 2021; [kernels.Unbiased]) is about 0 there,
// and may be negative.
//
// # Undefined values
//
// A layer with constant features, with NaN or Inf in it, with fewer rows than
// the estimator needs, or with a debiased HSIC with itself that is not positive
// has no CKA with anything. Its entries are NaN, and [Result.Undefined] says why.
package cka
