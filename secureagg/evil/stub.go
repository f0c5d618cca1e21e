package evil

var setAttacks, closeAttacks, restartAttacks, agentAttacks, shapes []*Attack
