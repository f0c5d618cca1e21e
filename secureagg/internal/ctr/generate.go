package ctr

// The generator is a module of its own, so that what it needs is not in this one's
// go.mod. What it writes is committed; stream_arm64.s is written by hand.

//go:generate go run -C asm . -out ../stream_amd64.s -go ../stream_amd64.go
