module github.com/cambium-kernels/cambium

go 1.26.0

require (
	github.com/alecthomas/kong v1.17.0
	golang.org/x/sys v0.49.0
)

require gonum.org/v1/gonum v0.17.0
