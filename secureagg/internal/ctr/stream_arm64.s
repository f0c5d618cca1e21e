//go:build !purego

#include "textflag.h"

// V0-V7 are blocks, V8-V15 words of the vector, V16-V30 the 15 round keys and V31 the
// flip. R0 is the vector, R1 the number of groups, R2 the upper half of the counter
// block as it lies in memory, R3 the lower half, R4 and R5 the keys and their number,
// R7 and R8 the same while they are counted down, R10 the counter blocks on the stack.

#define ARGUMENTS \
	MOVD dst+0(FP), R0; \
	MOVD n+8(FP), R1; \
	MOVD hi+16(FP), R2; \
	REV  R2, R2; \
	MOVD lo+24(FP), R3; \
	MOVD keys+32(FP), R4; \
	MOVD m+40(FP), R5; \
	MOVD flip+48(FP), R6; \
	VDUP R6, V31.D2

#define COUNTER(i) \
	ADD $i, R3, R9; \
	REV R9, R9; \
	STP (R2, R9), (16*i)(R10)

#define COUNTERS6 COUNTER(0); COUNTER(1); COUNTER(2); COUNTER(3); COUNTER(4); COUNTER(5)
#define COUNTERS8 COUNTERS6; COUNTER(6); COUNTER(7)

#define FLIP \
	VEOR V31.B16, V8.B16, V8.B16; \
	VEOR V31.B16, V9.B16, V9.B16; \
	VEOR V31.B16, V10.B16, V10.B16; \
	VEOR V31.B16, V11.B16, V11.B16; \
	VEOR V31.B16, V12.B16, V12.B16; \
	VEOR V31.B16, V13.B16, V13.B16; \
	VEOR V31.B16, V14.B16, V14.B16; \
	VEOR V31.B16, V15.B16, V15.B16

#define LOAD \
	MOVD R0, R11; \
	VLD1.P 64(R11), [V8.B16, V9.B16, V10.B16, V11.B16]; \
	VLD1 (R11), [V12.B16, V13.B16, V14.B16, V15.B16]; \
	FLIP

#define STORE \
	VST1.P [V8.B16, V9.B16, V10.B16, V11.B16], 64(R0); \
	VST1.P [V12.B16, V13.B16, V14.B16, V15.B16], 64(R0)

#define ROUNDKEYS \
	VLD1.P 64(R7), [V16.B16, V17.B16, V18.B16, V19.B16]; \
	VLD1.P 64(R7), [V20.B16, V21.B16, V22.B16, V23.B16]; \
	VLD1.P 64(R7), [V24.B16, V25.B16, V26.B16, V27.B16]; \
	VLD1.P 48(R7), [V28.B16, V29.B16, V30.B16]

#define MIXED(k, s) AESE k.B16, s.B16; AESMC s.B16, s.B16
#define LAST(s) AESE V29.B16, s.B16; VEOR V30.B16, s.B16, s.B16

#define ROUND6(k) MIXED(k, V0); MIXED(k, V1); MIXED(k, V2); MIXED(k, V3); MIXED(k, V4); MIXED(k, V5)
#define ROUND8(k) ROUND6(k); MIXED(k, V6); MIXED(k, V7)

#define ENCRYPT(ROUND) \
	ROUND(V16); ROUND(V17); ROUND(V18); ROUND(V19); ROUND(V20); \
	ROUND(V21); ROUND(V22); ROUND(V23); ROUND(V24); ROUND(V25); \
	ROUND(V26); ROUND(V27); ROUND(V28); \
	LAST(V0); LAST(V1); LAST(V2); LAST(V3); LAST(V4); LAST(V5)

// ADDER is a function whose words are lanes T of a vector.
#define ADDER(T) \
	ARGUMENTS; \
	MOVD $blocks-128(SP), R10; \
group: \
	COUNTERS8; \
	LOAD; \
	MOVD R4, R7; \
	MOVD R5, R8; \
key: \
	ROUNDKEYS; \
	MOVD R10, R11; \
	VLD1.P 64(R11), [V0.B16, V1.B16, V2.B16, V3.B16]; \
	VLD1 (R11), [V4.B16, V5.B16, V6.B16, V7.B16]; \
	ENCRYPT(ROUND8); LAST(V6); LAST(V7); \
	VADD V0.T, V8.T, V8.T; \
	VADD V1.T, V9.T, V9.T; \
	VADD V2.T, V10.T, V10.T; \
	VADD V3.T, V11.T, V11.T; \
	VADD V4.T, V12.T, V12.T; \
	VADD V5.T, V13.T, V13.T; \
	VADD V6.T, V14.T, V14.T; \
	VADD V7.T, V15.T, V15.T; \
	SUBS $1, R8, R8; \
	BNE  key; \
	FLIP; \
	STORE; \
	ADD  $8, R3, R3; \
	SUBS $1, R1, R1; \
	BNE  group; \
	RET

// func add16AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)
TEXT ·add16AES(SB), 0, $128-56
	ADDER(H8)

// func add32AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)
TEXT ·add32AES(SB), 0, $128-56
	ADDER(S4)

// func add64AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)
TEXT ·add64AES(SB), 0, $128-56
	ADDER(D2)

// Where the bytes of four words stand in a table of one or two blocks: the words from
// byte 0, 12, 8 and 4 on. An index of 255 gives 0.
DATA spread<>+0(SB)/8, $0xff050403ff020100
DATA spread<>+8(SB)/8, $0xff0b0a09ff080706
DATA spread<>+16(SB)/8, $0xff11100fff0e0d0c
DATA spread<>+24(SB)/8, $0xff171615ff141312
DATA spread<>+32(SB)/8, $0xff0d0c0bff0a0908
DATA spread<>+40(SB)/8, $0xff131211ff100f0e
DATA spread<>+48(SB)/8, $0xff090807ff060504
DATA spread<>+56(SB)/8, $0xff0f0e0dff0c0b0a
GLOBL spread<>(SB), RODATA|NOPTR, $64

// func add24AES(dst unsafe.Pointer, n int, hi, lo uint64, keys *Key, m int, flip uint64)
TEXT ·add24AES(SB), 0, $96-56
	ARGUMENTS
	MOVD $blocks-96(SP), R10
	MOVD $spread<>(SB), R12
	MOVD $0x00ffffff00ffffff, R13

group:
	COUNTERS6
	LOAD
	MOVD R4, R7
	MOVD R5, R8

key:
	ROUNDKEYS
	MOVD   R10, R11
	VLD1.P 48(R11), [V0.B16, V1.B16, V2.B16]
	VLD1   (R11), [V3.B16, V4.B16, V5.B16]
	ENCRYPT(ROUND6)
	VLD1   (R12), [V16.B16, V17.B16, V18.B16, V19.B16]
	VTBL   V16.B16, [V0.B16], V20.B16
	VTBL   V17.B16, [V0.B16, V1.B16], V21.B16
	VTBL   V18.B16, [V1.B16, V2.B16], V22.B16
	VTBL   V19.B16, [V2.B16], V23.B16
	VTBL   V16.B16, [V3.B16], V24.B16
	VTBL   V17.B16, [V3.B16, V4.B16], V25.B16
	VTBL   V18.B16, [V4.B16, V5.B16], V26.B16
	VTBL   V19.B16, [V5.B16], V27.B16
	VADD   V20.S4, V8.S4, V8.S4
	VADD   V21.S4, V9.S4, V9.S4
	VADD   V22.S4, V10.S4, V10.S4
	VADD   V23.S4, V11.S4, V11.S4
	VADD   V24.S4, V12.S4, V12.S4
	VADD   V25.S4, V13.S4, V13.S4
	VADD   V26.S4, V14.S4, V14.S4
	VADD   V27.S4, V15.S4, V15.S4
	SUBS   $1, R8, R8
	BNE    key
	FLIP
	VDUP   R13, V0.D2
	VAND   V0.B16, V8.B16, V8.B16
	VAND   V0.B16, V9.B16, V9.B16
	VAND   V0.B16, V10.B16, V10.B16
	VAND   V0.B16, V11.B16, V11.B16
	VAND   V0.B16, V12.B16, V12.B16
	VAND   V0.B16, V13.B16, V13.B16
	VAND   V0.B16, V14.B16, V14.B16
	VAND   V0.B16, V15.B16, V15.B16
	STORE
	ADD    $6, R3, R3
	SUBS   $1, R1, R1
	BNE    group
	RET
