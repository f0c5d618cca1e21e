package plan

import (
	"slices"

	"tacit/nn"
)

// familyDefaults sets the defaults of a family over a kind of data.
func (m *Model) familyDefaults(family, kind string) {
	m.Activation = nn.ReLU
	switch family {
	case CNN:
		m.Channels, m.Hidden = []int{16, 32}, []int{64}
	case ResNet:
		m.Channels, m.Depth = []int{16, 32, 64}, 1
	case RNN, LSTM, GRU:
		m.Depth = 1
		if kind == KindText {
			m.Embedding = 32
		}
	case Transformer:
		m.Depth, m.Embedding, m.Activation = 2, 64, nn.GELU
	}
}

// head is the last layer: one output for each class, else one.
func (p *Plan) head() nn.Layer { return nn.Layer{Kind: nn.Dense, Units: p.Data.Outputs()} }

// dropout appends a dropout layer where the plan has one.
func (m *Model) dropout(layers []nn.Layer) []nn.Layer {
	if m.Dropout > 0 {
		layers = append(layers, nn.Layer{Kind: nn.Dropout, Rate: m.Dropout})
	}
	return layers
}

// mlp is logreg and linear too, which have no hidden layers.
func (p *Plan) mlp(flatten bool) (out []nn.Layer) {
	if flatten {
		out = append(out, nn.Layer{Kind: nn.Flatten})
	}
	return append(p.Model.hidden(out), p.head())
}

// hidden appends the hidden layers.
func (m *Model) hidden(layers []nn.Layer) []nn.Layer {
	if m.Family != MLP && m.Family != CNN {
		return layers
	}
	for _, units := range m.Hidden {
		layers = m.dropout(append(layers, nn.Layer{Kind: nn.Dense, Units: units}, nn.Layer{Kind: m.Activation}))
	}
	return layers
}

// conv keeps height and width at stride 1.
func conv(units, kernel, stride int) nn.Layer {
	l := nn.Layer{Kind: nn.Conv2D, Units: units, Kernel: [2]int{kernel, kernel}, Padding: [2]int{kernel / 2, kernel / 2}}
	if stride > 1 { // 0 means 1 to nn
		l.Stride = [2]int{stride, stride}
	}
	return l
}

// cnn halves height and width once for each entry of model.channels.
func (p *Plan) cnn() (out []nn.Layer) {
	for _, channels := range p.Model.Channels {
		out = append(out, conv(channels, 3, 1), nn.Layer{Kind: p.Model.Activation}, nn.Layer{Kind: nn.MaxPool, Kernel: [2]int{2, 2}})
	}
	return append(p.Model.hidden(append(out, nn.Layer{Kind: nn.Flatten})), p.head())
}

// resnet is the network that He et al. 2015 (https://arxiv.org/abs/1512.03385,
// section 4.2) train on CIFAR-10: a convolution, then stages of blocks of two
// convolutions each; every stage but the first halves height and width. We depart
// in two points: a shortcut that changes its shape is a 1×1 convolution (their
// option B), and the default norm is by groups of one example's channels (Wu and
// He 2018, https://arxiv.org/abs/1803.08494), as statistics of a batch differ
// between branches.
func (p *Plan) resnet() []nn.Layer {
	m := &p.Model
	act := nn.Layer{Kind: m.Activation}
	var out []nn.Layer
	in := 0
	for stage, channels := range m.Channels {
		if stage == 0 {
			out = append(m.normed(conv(channels, 3, 1)), act)
			in = channels
		}
		for block := range m.Depth {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			l := nn.Layer{Kind: nn.Residual}
			l.Body = append(append(m.normed(conv(channels, 3, stride)), act), m.normed(conv(channels, 3, 1))...)
			if stride != 1 || in != channels {
				l.Shortcut = m.normed(conv(channels, 1, stride))
			}
			out = append(out, l, act)
			in = channels
		}
	}
	return append(m.dropout(append(out, nn.Layer{Kind: nn.GlobalAvgPool})), p.head())
}

// normed returns a convolution and its norm, which brings the bias.
func (m *Model) normed(l nn.Layer) []nn.Layer {
	switch m.Norm {
	case GroupNorm:
		l.NoBias = true
		return []nn.Layer{l, {Kind: nn.GroupNorm, Groups: groups(l.Units)}}
	case BatchNorm:
		l.NoBias = true
		return []nn.Layer{l, {Kind: nn.BatchNorm}}
	}
	return []nn.Layer{l}
}

// groups returns the most groups, at most 8, that divide so many channels.
func groups(channels int) int {
	for g := 8; g > 1; g-- {
		if channels%g == 0 {
			return g
		}
	}
	return 1
}

// recurrent gives one answer for each character of a text, and one for a series
// after its last row.
func (p *Plan) recurrent() (out []nn.Layer) {
	m := &p.Model
	if p.Data.Kind == KindText {
		out = append(out, nn.Layer{Kind: nn.Embedding, Vocab: p.Data.Text.Size(), Units: m.Embedding})
	}
	l := nn.Layer{Kind: m.Family, Units: m.Units, Last: p.Data.Kind != KindText}
	if m.Depth > 1 { // 0 means 1 to nn
		l.Depth = m.Depth
	}
	return append(m.dropout(append(out, l)), p.head())
}

// transformer is Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762) with the
// norm before each sublayer (Xiong et al. 2020, https://arxiv.org/abs/2002.04745)
// and learned positions. A character of a text sees only those before it; a series
// is read whole and answered once.
func (p *Plan) transformer() (out []nn.Layer) {
	m := &p.Model
	text, width := p.Data.Kind == KindText, m.Embedding
	if text {
		out = append(out, nn.Layer{Kind: nn.Embedding, Vocab: p.Data.Text.Size(), Units: width})
	} else {
		out = append(out, nn.Layer{Kind: nn.Dense, Units: width})
	}
	out = m.dropout(append(out, nn.Layer{Kind: nn.Positional}))
	for range m.Depth {
		out = append(out,
			nn.Layer{Kind: nn.Residual, Body: m.dropout([]nn.Layer{
				{Kind: nn.LayerNorm}, {Kind: nn.Attention, Heads: m.Heads, Causal: text},
			})},
			nn.Layer{Kind: nn.Residual, Body: m.dropout([]nn.Layer{
				{Kind: nn.LayerNorm}, {Kind: nn.Dense, Units: 4 * width}, {Kind: m.Activation}, {Kind: nn.Dense, Units: width},
			})},
		)
	}
	out = append(out, nn.Layer{Kind: nn.LayerNorm})
	if !text {
		out = append(out, nn.Layer{Kind: nn.GlobalAvgPool})
	}
	return append(out, p.head())
}

// written is model.layers. An embedding that begins it and names no vocabulary has
// that of the text.
func (p *Plan) written() []nn.Layer {
	out := slices.Clone(p.Model.Layers)
	if p.Data.Kind == KindText && len(out) > 0 && out[0].Kind == nn.Embedding && out[0].Vocab == 0 {
		out[0].Vocab = p.Data.Text.Size()
	}
	return out
}
