package evil

var agentAttacks, shapes []*Attack
