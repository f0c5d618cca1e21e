// Package solo trains a plan's model on one data set, without a federation: the
// same model, rows, batches and update rule, and no rounds between the steps.
//
//	run, err := solo.Train(ctx, p, data, solo.Options{Dir: dir, Vault: v})
//	model, err := solo.ReadModel(v, dir)
//
// It promises:
//
//   - No model rests in plaintext. Model and checkpoint are sealed by the vault that
//     the caller gives: a branch's agent gives its own, so that whoever may open the
//     branch's secrets, and nobody else, may open what its rows taught.
//   - A process that is killed loses the steps since its last checkpoint, and the
//     resumed training gives the bits of one that was never interrupted: batches are
//     a function of seed and step, and a checkpoint holds all else that a step needs.
//     It is refused on other rows; rows larger than memory are told apart by their sums,
//     so that the same rows in another order pass.
//   - A row, a loss or a gradient that is not finite stops the training and says where
//     ([DivergedError]); the best model until then stays, sealed.
//   - Of several epochs the one with the least loss on the validation rows is the
//     model; without such rows it is the last one.
//
// Beside the sealed files stand, for people: plan.yaml, the plan with every default;
// metrics.jsonl, a line per epoch; result.json, once the training is over. They hold
// sums over rows and no parameters.
//
// # Formats
//
// Inside the seal, big-endian; len32(x) is x behind its length:
//
//	model.sealed       "tacit-solo-model/1\n" ‖ len32(plan's canonical bytes) ‖ len32(JSON of Info) ‖ len32(model record)
//	checkpoint.sealed  "tacit-solo-checkpoint/1\n" ‖ plan hash[32] ‖ data digest[32] ‖ len32(JSON of where) ‖
//	                   len32(model record) ‖ len32(nn's state) ‖ len32(best model record, may be empty)
package solo
