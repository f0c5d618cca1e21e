package team

import "syscall"

// yield lets another thread have this core: where something else keeps a member's core
// busy, two members may have to share one.
func yield() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
