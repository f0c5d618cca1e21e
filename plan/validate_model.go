package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"tacit/nn"
)

// checkModel reports what is wrong with the network; the data is sound.
func (p *Plan) checkModel(bad func(key, message, hint string)) {
	m, target := &p.Model, p.Data.Target.Type
	sound, report := true, bad
	bad = func(key, message, hint string) {
		sound = false
		report(key, message, hint)
	}
	if kinds := kindsOf(m.Family); !slices.Contains(kinds, p.Data.Kind) {
		hint := "family: " + quoteList(familiesOf(p.Data.Kind))
		bad("model.family", fmt.Sprintf("%s takes data of kind %s; this plan's is %s", m.Family, quoteList(kinds), p.Data.Kind), hint)
		return
	}
	switch m.Family {
	case LogReg:
		if target == Number || target == Survival {
			what := "a number"
			if target == Survival {
				what = "survival"
			}
			bad("model.family", "logreg predicts a class; the target is "+what, "family: linear")
		}
	case Linear:
		if target != Number && target != Survival {
			bad("model.family", fmt.Sprintf("linear predicts a number; the target is %s", target), "family: logreg")
		}
	case MLP:
		if len(m.Hidden) == 0 {
			bad("model.hidden", "mlp without hidden layers is logreg", "hidden: [16], or family: logreg")
		}
	case CNN, ResNet:
		if len(m.Channels) == 0 {
			bad("model.channels", fmt.Sprintf("%s without channels has no convolution", m.Family), "channels: [16, 32]")
			return
		}
	case Transformer:
		if m.Embedding%m.Heads != 0 {
			bad("model.heads", fmt.Sprintf("%d heads cannot share an embedding of %d", m.Heads, m.Embedding), "heads divides model.embedding")
		}
	case Layers:
		if len(m.Layers) == 0 {
			bad("model.layers", "family layers without layers is no network", "layers: [{kind: dense, units: 16}, relu, {kind: dense, units: 1}]")
			return
		}
	}
	if m.Family != MLP && m.Family != CNN && len(m.Hidden) > 0 {
		bad("model.hidden", fmt.Sprintf("%s has no hidden layers", m.Family), "family: mlp")
	}
	for _, l := range []struct {
		key string
		n   int
		of  string
	}{{"model.hidden", len(m.Hidden), "hidden layers"}, {"model.channels", len(m.Channels), "entries"}} {
		if l.n > MaxLayers {
			bad(l.key, fmt.Sprintf("%d %s, at most %d", l.n, l.of, MaxLayers), "")
			return
		}
	}
	if applies, _, _ := fieldOf("model.activation").rule.only(p); !applies && m.Activation != p.defaults().Model.Activation {
		bad("model.activation", fmt.Sprintf("%s has no activation to choose", m.Family), "remove it")
	}
	if legal := lossesOf(target); !slices.Contains(legal, m.Loss) {
		hint := "remove it"
		if len(legal) > 1 {
			hint = "remove it, or loss: " + quoteList(legal)
		}
		bad("model.loss", fmt.Sprintf("a %s target is learned with %s, not %s", target, quoteList(legal), m.Loss), hint)
		return
	}
	if n, want := len(m.ClassWeights), max(p.Data.Outputs(), 2); n > 0 && n != want {
		bad("model.class_weights", fmt.Sprintf("%d weights for %d classes", n, want), "one for each class, in label order; of a binary target the negative class comes first")
	}
	if sound {
		p.checkNetwork(bad)
	}
}

// familiesOf returns the families that take a kind of data.
func familiesOf(kind string) (out []string) {
	for _, f := range familyNames {
		if slices.Contains(kindsOf(f), kind) {
			out = append(out, f)
		}
	}
	return out
}

// layerPlace is how nn names a layer in an error: "layer 2.body.0 (dense): …".
var layerPlace = regexp.MustCompile(`^layer ([0-9]+(?:\.(?:body|shortcut)\.[0-9]+)*)(?: \([a-z0-9_]*\))?: `)

// checkNetwork lets nn check the layers and their shapes, and whether the last
// one's shape answers the target.
func (p *Plan) checkNetwork(bad func(key, message, hint string)) {
	spec := p.Spec()
	if err := spec.Validate(); err != nil {
		for _, e := range unjoin(err) {
			message := strings.TrimPrefix(e.Error(), "nn: ")
			if p.Model.Family != Layers {
				bad("model", fmt.Sprintf("the %s that these settings describe: %s", p.Model.Family, message), "")
				break // the others follow from it
			}
			bad(layerKey(message), message, "")
		}
		return
	}
	if p.Model.Family != Layers {
		return
	}
	if got, want := spec.Outputs(), p.Data.Outputs()*p.Data.LabelsPerExample(); got != want {
		what := fmt.Sprintf("a %s target", p.Data.Target.Type)
		switch p.Data.Target.Type {
		case Class:
			what = fmt.Sprintf("a class target of %d classes", p.Data.Outputs())
		case Next:
			what = fmt.Sprintf("text of %d characters with an alphabet of %d", p.Data.Text.Length, p.Data.Outputs())
		}
		bad("model.layers", fmt.Sprintf("the last layer gives %d values for an example; %s needs %d", got, what, want),
			fmt.Sprintf("end with {kind: dense, units: %d}", p.Data.Outputs()))
	}
	p.checkEmbeddings(p.Model.Layers, "model.layers", bad)
}

// checkEmbeddings reports embeddings of what is no id, or of too few.
func (p *Plan) checkEmbeddings(layers []nn.Layer, at string, bad func(key, message, hint string)) {
	for i := range layers {
		l, key := &layers[i], fmt.Sprintf("%s[%d]", at, i)
		if l.Kind == nn.Embedding {
			switch size := p.Data.Text.Size(); {
			case p.Data.Kind != KindText:
				bad(key, fmt.Sprintf("%s: an embedding takes the ids of characters; data of kind %s has none", key, p.Data.Kind), "kind: dense makes vectors of numbers")
			case l.Vocab != 0 && l.Vocab < size:
				bad(key+".vocab", fmt.Sprintf("%s: the alphabet has %d characters, the embedding %d", key, size, l.Vocab), "leave vocab out of the first layer to get as many as the alphabet has")
			}
		}
		p.checkEmbeddings(l.Body, key+".body", bad)
		p.checkEmbeddings(l.Shortcut, key+".shortcut", bad)
	}
}

// unjoin returns the errors that errors.Join put together.
func unjoin(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	return []error{err}
}

// layerKey returns the key of the layer that nn's message names: "layer 2.body.0"
// is model.layers[2].body[0].
func layerKey(message string) string {
	m := layerPlace.FindStringSubmatch(message)
	if m == nil {
		return "model.layers"
	}
	var b strings.Builder
	b.WriteString("model.layers")
	for _, part := range strings.Split(m[1], ".") {
		if part == "body" || part == "shortcut" {
			b.WriteString("." + part)
		} else {
			b.WriteString("[" + part + "]")
		}
	}
	return b.String()
}

// checkTraining reports combinations of training settings that cannot work.
func (p *Plan) checkTraining(bad func(key, message, hint string)) {
	t := &p.Training
	if t.Momentum != 0 {
		switch t.Optimizer {
		case nn.Adam, nn.AdamW:
			bad("training.momentum", t.Optimizer+" has moments of its own, so it takes no momentum", "remove it, or optimizer: sgd")
		case nn.Adagrad:
			bad("training.momentum", "adagrad takes no momentum", "remove it, or optimizer: sgd")
		}
	}
	if t.Nesterov && t.Optimizer == nn.SGD && t.Momentum == 0 {
		bad("training.nesterov", "nesterov looks ahead along the momentum, and there is none", "momentum: 0.9")
	}
	if t.Optimizer == nn.AdamW && t.WeightDecay == 0 {
		bad("training.optimizer", "adamw without weight_decay is adam", "weight_decay: 0.01, or optimizer: adam")
	}
	s := &t.Schedule
	if s.Kind == Cosine {
		if s.Min > t.LearningRate {
			bad("training.schedule.min", fmt.Sprintf("the rate falls from %v, so it cannot end at %v", t.LearningRate, s.Min), "")
		}
		if s.Total <= s.Warmup {
			bad("training.schedule.warmup", fmt.Sprintf("a warmup of %d steps leaves nothing of %d", s.Warmup, s.Total), "")
		}
	}
	if t.Patience > 0 && t.Validation == 0 {
		bad("training.patience", "patience needs rows to judge by", "validation: 0.1")
	}
	if t.Patience > 0 && t.Epochs == 0 {
		bad("training.patience", "patience counts epochs, and there are none", "epochs: 100")
	}
}
