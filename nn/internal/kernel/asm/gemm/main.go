// Command gemm writes the tiles of kernel's matrix products for amd64.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64,!purego")
	Generate()
}
