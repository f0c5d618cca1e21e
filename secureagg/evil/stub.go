package evil

var openingAttacks, setAttacks, closeAttacks, restartAttacks, agentAttacks, shapes []*Attack
