package nn

import (
	"syscall"
	"unsafe"
)

// leastHuge is the arena from which huge pages are asked for.
const leastHuge = 4 << 20

// advise asks for huge pages under a: a step walks over all of it, and rows some
// hundreds of bytes apart need a page each otherwise. A kernel that says no loses time,
// nothing else.
func advise(a []float32) {
	const page = 1 << 12
	if len(a)*4 < leastHuge {
		return
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&a[0])), len(a)*4)
	skip := -int(uintptr(unsafe.Pointer(&a[0]))) & (page - 1)
	_ = syscall.Madvise(b[skip:skip+(len(b)-skip)&^(page-1)], syscall.MADV_HUGEPAGE)
}
