package plan

import (
	"math"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"tacit/id"
	"tacit/nn"
)

// ConfigBytes returns the canonical bytes of everything that gives the numbers in
// a round of task t their meaning: segments with bounds and scales, ring, model,
// optimiser, schema, strategy, clip and weights. They bind ctx beside the plan's
// hash, so that two builds that read a plan differently cannot mask together.
// Big-endian; p must be valid.
//
//	"tacit config v1" and a zero byte · uint8 task · uint8 ring · uint32 n_max
//	uint32 segments · each: uint32-prefixed name · uint32 length · bound · scale (float64)
//	uint32-prefixed model (nn.AppendSpec)
//	uint32-prefixed optimiser kind · float64 rate, momentum, beta1, beta2, epsilon · uint32 batch, steps
//	uint32-prefixed data: the canonical fields data.* that differ from their defaults
//	uint32-prefixed strategy · uint32-prefixed weights · float64 weight_max, clip, loss_bound · uint32-prefixed privacy
//	where the optimiser has anything beyond the above: uint8 nesterov · float64 weight_decay, alpha, clip_norm ·
//	uint32-prefixed schedule ("": constant) · uint64 warmup, every, total · float64 gamma, min
func (p *Plan) ConfigBytes(t Task) []byte {
	b := cryptobyte.NewBuilder([]byte("tacit config v1\x00"))
	text := func(s string) {
		b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { c.AddBytes([]byte(s)) })
	}
	number := func(v ...float64) {
		for _, f := range v {
			b.AddUint64(math.Float64bits(f))
		}
	}
	b.AddUint8(uint8(t))
	b.AddUint8(uint8(p.Aggregation.Ring))
	b.AddUint32(uint32(p.Federation.MaxBranches))
	segments := p.Segments(t)
	b.AddUint32(uint32(len(segments)))
	for _, s := range segments {
		text(s.Name)
		b.AddUint32(uint32(s.Length))
		number(s.Bound, s.Scale)
	}
	spec, err := nn.AppendSpec(nil, p.Spec())
	if err != nil {
		spec = nil // an invalid plan; Segments is empty as well
	}
	text(string(spec))
	o := p.Optimizer()
	text(o.Kind)
	number(o.LR, o.Momentum, o.Beta1, o.Beta2, o.Epsilon)
	b.AddUint32(uint32(p.Training.Batch))
	b.AddUint32(uint32(p.Training.Steps))
	b.AddUint32LengthPrefixed(func(c *cryptobyte.Builder) { addFields(c, dataByNumber, p, p.defaults()) })
	text(p.Federation.Strategy)
	text(p.Federation.Weights)
	number(p.Federation.WeightMax, p.Federation.Clip, p.Evaluation.LossBound)
	text(p.Privacy)
	if old := (nn.Optimizer{Kind: o.Kind, LR: o.LR, Momentum: o.Momentum, Beta1: o.Beta1, Beta2: o.Beta2, Epsilon: o.Epsilon}); o != old {
		nesterov := uint8(0)
		if o.Nesterov {
			nesterov = 1
		}
		b.AddUint8(nesterov)
		number(o.WeightDecay, o.Alpha, o.ClipNorm)
		text(o.Schedule.Kind)
		for _, steps := range []int{o.Schedule.Warmup, o.Schedule.Every, o.Schedule.Total} {
			b.AddUint64(uint64(steps))
		}
		number(o.Schedule.Gamma, o.Schedule.Min)
	}
	return b.BytesOrPanic()
}

// dataByNumber are the fields data.* in the order of canonical bytes.
var dataByNumber = slices.DeleteFunc(byNumber(planFields), func(f field[Plan]) bool { return !within(f.key, "data") })

// Config returns the digest of [Plan.ConfigBytes].
func (p *Plan) Config(t Task) id.ConfigHash {
	var h id.ConfigHash
	sumInto(&h, "tacit-config/v1", p.ConfigBytes(t))
	return h
}
