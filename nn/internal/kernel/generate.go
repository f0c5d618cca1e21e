package kernel

// The generators are a module of their own, so that what they need is not in this
// one's go.mod. They write the assembly and its stubs, which are committed.

