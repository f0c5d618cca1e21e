package nn

import (
	"slices"
	"strings"

	"tacit/nn/internal/kernel"
)

// Schedule kinds.
const (
	ScheduleConstant = ""       // the rate stays
	ScheduleStep     = "step"   // falls by a factor every so many steps
	ScheduleCosine   = "cosine" // falls along half a cosine
)

// Schedule describes how the learning rate changes with the steps taken. Fields that
// its Kind does not use are zero.
type Schedule struct {
	Kind   string  // "": constant; "step"; "cosine"
	Warmup int     // steps of linear rise to LR at the start
	Every  int     // step: steps between two falls
	Gamma  float64 // step: factor of each fall, 0 < Gamma ≤ 1
	Min    float64 // cosine: the last rate
	Total  int     // cosine: steps until Min, Warmup included
}

// Schedules returns the names a Schedule.Kind may have beside "" for constant.
func Schedules() []string { return []string{ScheduleStep, ScheduleCosine} }

// MaxSteps is the greatest count of steps that a Schedule may name.
const MaxSteps = 1 << 48

// Rate returns the learning rate of the step that follows step others, of an
// Optimizer with rate lr. With W = Warmup, k = step − W and T = Total − W it is
//
//	step < W    lr·(step + 1)/W
//	constant    lr
//	step        lr·Gamma^⌊k/Every⌋
//	cosine      Min + (lr − Min)·(1 + cos(π·k/T))/2, and Min from k = T on
//
// which are torch's StepLR and CosineAnnealingLR (up to T_max = T; Loshchilov and
// Hutter 2017, https://arxiv.org/abs/1608.03983) behind a LinearLR of W steps (Goyal
// et al. 2017, https://arxiv.org/abs/1706.02677). Each operation is one of float64,
// rounded once: the rate has the same bits on every machine.
func (s Schedule) Rate(lr float64, step uint64) float64 {
	warmup := uint64(max(s.Warmup, 0))
	if step < warmup {
		return float64(lr*float64(step+1)) / float64(warmup)
	}
	k := step - warmup
	switch s.Kind {
	case ScheduleStep:
		return float64(lr * power(s.Gamma, k/uint64(max(s.Every, 1))))
	case ScheduleCosine:
		t := uint64(max(s.Total-s.Warmup, 0))
		if k >= t {
			return s.Min
		}
		return s.Min + float64(float64((lr-s.Min)*(1+kernel.CosPi(float64(k)/float64(t))))/2)
	}
	return lr
}

// power returns xⁿ by squaring.
func power(x float64, n uint64) float64 {
	y := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			y = float64(y * x)
		}
		x = float64(x * x)
	}
	return y
}

// check reports what is wrong with the schedule of a rate lr.
func (s Schedule) check(lr float64, bad func(format string, a ...any)) {
	if s.Warmup < 0 || int64(s.Warmup) > MaxSteps {
		bad("schedule: warmup is %d, want 0 to %d steps", s.Warmup, int64(MaxSteps))
	}
	name := s.Kind
	switch s.Kind {
	case ScheduleConstant:
		name = "a constant one"
	case ScheduleStep:
		if s.Every < 1 || int64(s.Every) > MaxSteps {
			bad("schedule: every is %d, want 1 to %d steps", s.Every, int64(MaxSteps))
		}
		if !(s.Gamma > 0 && s.Gamma <= 1) { // NaN too
			bad("schedule: gamma is %v, want 0 < gamma ≤ 1", s.Gamma)
		}
	case ScheduleCosine:
		if s.Total <= s.Warmup || int64(s.Total) > MaxSteps {
			bad("schedule: total is %d, want above warmup (%d) and at most %d steps", s.Total, s.Warmup, int64(MaxSteps))
		}
		if !(s.Min >= 0 && s.Min <= lr) {
			bad("schedule: min is %v, want 0 to lr (%v)", s.Min, lr)
		}
	default:
		near := hint(s.Kind, Schedules())
		if slices.Contains([]string{"constant", "none", "linear", "warmup"}, s.Kind) {
			near = " (constant is the empty name, warmup a field)"
		}
		bad("schedule: unknown kind %q, want one of %s or none%s", s.Kind, strings.Join(Schedules(), ", "), near)
		return
	}
	if s.Kind != ScheduleStep && s.Every != 0 {
		bad("schedule: %s has no every, got %d", name, s.Every)
	}
	if s.Kind != ScheduleStep && s.Gamma != 0 {
		bad("schedule: %s has no gamma, got %v", name, s.Gamma)
	}
	if s.Kind != ScheduleCosine && s.Min != 0 {
		bad("schedule: %s has no min, got %v", name, s.Min)
	}
	if s.Kind != ScheduleCosine && s.Total != 0 {
		bad("schedule: %s has no total, got %d", name, s.Total)
	}
}
