// Package kernel holds the inner loops of nn. It promises one thing: a result
// depends on the operands alone, never on the machine, the instruction set, the
// number of threads or how a matrix was cut into blocks.
//
// Two rules give that:
//
//   - Every element of a matrix product is one float32 accumulator that starts
//     at +0 and takes its terms in ascending k, each by one fused multiply-add
//     rounded once (IEEE 754 fusedMultiplyAdd, to nearest, ties to even). M and
//     N may be split; K never is.
//   - Every function is a written sequence of float32 operations, each rounded
//     once. math.Exp and its kin differ between architectures and are not used,
//     and each product that is not meant to be fused stands in a conversion,
//     which the language forbids a compiler to fuse across.
//
// Sums along a vector run in 16 lanes of float64 that are added up by halves.
//
// The plain loops (matmulGo, FMA, the tails of the functions over vectors) are the
// documentation and the oracle of the assembly, which the generators in asm write for
// AVX-512, AVX2 and NEON; the build tag purego leaves only them, and TACIT_KERNEL=avx2 or
// go lowers the level. NaN is the one exception: that a result is NaN is fixed, which of
// the NaN bit patterns is not.
package kernel
