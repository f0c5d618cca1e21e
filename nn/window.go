package nn

import "fmt"

// maxWindow bounds the fields of a window, so that no size of one overflows.
const maxWindow = 1 << 12

// window is how a Conv2D or a pool walks over an image [height][width][channels]:
// output (oy, ox) sees the taps at
//
//	(oy·stride + ky·dilation − padding, ox·stride + kx·dilation − padding)
//
// for 0 ≤ ky, kx < kernel. Each pair is height, width.
type window struct {
	in, out                           [2]int
	kernel, stride, padding, dilation [2]int
	channels                          int
}

var axisNames = [2]string{"height", "width"}

// window returns l's window over in. A stride of zero is stride.
func (l *Layer) window(in []int, stride [2]int) (window, error) {
	if err := wantAxes(in, 3, "an image [height,width,channels]"); err != nil {
		return window{}, err
	}
	v := window{in: [2]int{in[0], in[1]}, channels: in[2], kernel: l.Kernel, stride: l.Stride, padding: l.Padding, dilation: l.Dilation}
	if v.stride == [2]int{} {
		v.stride = stride
	}
	if v.dilation == [2]int{} {
		v.dilation = [2]int{1, 1}
	}
	for a, axis := range axisNames {
		for _, f := range []struct {
			what     string
			v, least int
		}{{"kernel", v.kernel[a], 1}, {"stride", v.stride[a], 1}, {"padding", v.padding[a], 0}, {"dilation", v.dilation[a], 1}} {
			if err := bounded("the "+f.what+"'s "+axis, f.v, f.least, maxWindow); err != nil {
				return window{}, err
			}
		}
		span, have := (v.kernel[a]-1)*v.dilation[a]+1, v.in[a]+2*v.padding[a]
		if span > have {
			return window{}, fmt.Errorf("a window of %s %d is larger than the padded image's %d: use a smaller kernel or more padding", axis, span, have)
		}
		v.out[a] = (have-span)/v.stride[a] + 1
	}
	return v, nil
}

// padded returns the image's sizes with padding on either side.
func (v *window) padded() (h, w int) { return v.in[0] + 2*v.padding[0], v.in[1] + 2*v.padding[1] }

// taps returns the taps lo ≤ k < hi of output o that lie inside the image, along
// axis a, and the place of tap 0. It is for pools, whose dilation is 1.
func (v *window) taps(a, o int) (lo, hi, at int) {
	at = o*v.stride[a] - v.padding[a]
	return max(0, -at), min(v.kernel[a], v.in[a]-at), at
}
