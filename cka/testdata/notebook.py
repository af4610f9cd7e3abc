"""Writes notebook.f64: X, then Y, 100 x 10 float64 each, little endian, row by row.

They are the inputs of the reference notebook of Kornblith et al. 2019, which prints CKA 0.5576 (linear), 0.6548 (RBF,
threshold 0.5) and 0.5135 (debiased) for them. Needs numpy.
"""
import pathlib
import numpy as np

random = np.random.RandomState(1337)
X = random.randn(100, 10)
Y = random.randn(100, 10) + X
pathlib.Path(__file__).with_name("notebook.f64").write_bytes(np.stack([X, Y]).astype("<f8").tobytes())

# The values to more digits, straight from the definitions.
def center(K):
    H = np.eye(len(K)) - 1 / len(K)
    return H @ K @ H

def cka(K, L):
    K, L = center(K), center(L)
    return (K * L).sum() / np.sqrt((K * K).sum() * (L * L).sum())

def rbf(X, t):
    D = ((X[:, None] - X[None]) ** 2).sum(-1)
    return np.exp(-D / (2 * t * t * np.median(D)))

def hsic1(K, L):
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    return (np.trace(K @ L) + K.sum() * L.sum() / (n - 1) / (n - 2) - 2 / (n - 2) * one @ K @ L @ one) / n / (n - 3)

K, L = X @ X.T, Y @ Y.T
print("linear  ", repr(cka(K, L)))
print("rbf 0.5 ", repr(cka(rbf(X, 0.5), rbf(Y, 0.5))))
print("debiased", repr(hsic1(K, L) / np.sqrt(hsic1(K, K) * hsic1(L, L))))
