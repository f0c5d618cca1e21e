package dataset

import (
	"fmt"
	"io"
	"os"
	"sync"

	"tacit/plan"
)

// units is u = b/255 of each byte of a pixel.
var units = func() (t [256]float64) {
	for b := range t {
		t[b] = float64(b) / 255
	}
	return t
}()

// pixels is images in memory, a byte a value.
type pixels struct {
	width  int
	b      []byte // n × width
	labels []int32
}

func (p *pixels) len() int { return len(p.labels) }

func (p *pixels) get(x *example, i int) error {
	x.u = x.scratch(p.width)
	for j, b := range p.b[i*p.width:][:p.width] {
		x.u[j] = units[b]
	}
	x.labels = p.labels[i : i+1]
	return nil
}

// pixelFile is images in a file that is not compressed, read one by one.
type pixelFile struct {
	in     *os.File
	name   string
	start  int64
	width  int
	labels []int32
	bytes  sync.Pool // of *[]byte
}

func (p *pixelFile) len() int { return len(p.labels) }

func (p *pixelFile) get(x *example, i int) error {
	row, _ := p.bytes.Get().(*[]byte)
	if row == nil {
		b := make([]byte, p.width)
		row = &b
	}
	defer p.bytes.Put(row)
	if _, err := p.in.ReadAt(*row, p.start+int64(i)*int64(p.width)); err != nil {
		return damaged(p.name, err)
	}
	x.u = x.scratch(p.width)
	for j, b := range *row {
		x.u[j] = units[b]
	}
	x.labels = p.labels[i : i+1]
	return nil
}

// pixelCursor is one pass over images in a compressed file.
type pixelCursor struct {
	in     *plain
	name   string
	row    []byte
	labels []int32
	want   func(row int) bool // nil: all
	i      int
}

func (c *pixelCursor) close() error { return c.in.Close() }

func (c *pixelCursor) next(x *example) error {
	for {
		if c.i == len(c.labels) {
			if err := atEnd(c.name, c.in); err != nil {
				return err
			}
			return io.EOF
		}
		if _, err := io.ReadFull(c.in, c.row); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return damaged(c.name, err)
		}
		c.i++
		if c.want != nil && !c.want(c.i) {
			continue
		}
		x.u = x.scratch(len(c.row))
		for j, b := range c.row {
			x.u[j] = units[b]
		}
		x.labels, x.row = c.labels[c.i-1:c.i], c.i
		return nil
	}
}

// readPixels loads images from an IDX or a NumPy file, with the labels' file.
func (l *loading) readPixels() (*Data, error) {
	labelsPath, err := labelsOf(l.src)
	if err != nil {
		return nil, err
	}
	labels, err := l.readLabels(labelsPath)
	if err != nil {
		return nil, err
	}
	in, err := l.reader()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	start, err := l.pixelHeader(in, len(labels), labelsPath)
	if err != nil {
		return nil, err
	}
	total := int64(len(labels)) * int64(l.width)
	if !in.compressed {
		if have := l.file.was.size - start; have != total {
			return nil, fail(l.name, fmt.Sprintf("the file holds %d bytes of pixels, its header promises %d", have, total), "copy the file again")
		}
	}
	if total <= l.memory {
		b, err := readExactly(l.name, in, total)
		if err != nil {
			return nil, err
		}
		return l.drawn(l.table(&pixels{width: l.width, b: b, labels: labels}))
	}
	if in.compressed {
		return l.readPixelSequence(labels, start)
	}
	f, err := l.file.open()
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, f)
	t := l.table(&pixelFile{in: f, name: l.name, start: start, width: l.width, labels: labels})
	t.stats, t.fresh = new(tally), l.file.check
	return l.drawn(t)
}

// readPixelSequence loads images that are compressed and larger than memory.
func (l *loading) readPixelSequence(labels []int32, start int64) (*Data, error) {
	open := func(want func(int) bool) func() (cursor, error) {
		return func() (cursor, error) {
			in, err := l.reader()
			if err != nil {
				return nil, err
			}
			if _, err := io.CopyN(io.Discard, in, start); err != nil {
				in.Close()
				return nil, damaged(l.name, err)
			}
			return &pixelCursor{in: in, name: l.name, row: make([]byte, l.width), labels: labels, want: want}, nil
		}
	}
	d := &Data{Rows: len(labels)}
	var err error
	if d.Train, err = l.sequence(open, l.wants(false)); err == nil {
		d.Test, err = l.sequence(open, l.wants(true))
	}
	return d, err
}

// readLabels reads the labels' file.
func (l *loading) readLabels(path string) ([]int32, error) {
	f, err := newFile(path)
	if err != nil {
		return nil, err
	}
	in, err := f.reader()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	most, classes := l.plan.Data.MaxExamples, len(l.plan.Data.ClassNames)
	if l.format == formatIDX {
		return readLabelsIDX(path, in, most, classes)
	}
	a, err := readNPY(path, in)
	if err != nil {
		return nil, err
	}
	n := a.shape[0]
	if a.kind == 'f' || len(a.shape) > 2 || len(a.shape) == 2 && a.shape[1] != 1 {
		return nil, fail(path, fmt.Sprintf("an array of %s with %d dimensions, labels are one dimension of integers", a.typeName(), len(a.shape)), "")
	}
	if n > most {
		return nil, tooManyLabels(path, n, most)
	}
	b, err := readExactly(path, in, int64(n)*int64(a.size))
	if err != nil {
		return nil, err
	}
	return classLabels(path, n, classes, func(i int) int64 {
		c := a.cell(b[i*a.size:])
		if c.kind != isNumber {
			return -1
		}
		return int64(c.number)
	})
}

// pixelHeader checks that the file's header promises n images of the plan's size
// and returns where they begin.
func (l *loading) pixelHeader(in io.Reader, n int, labels string) (start int64, err error) {
	var dims []int
	if l.format == formatIDX {
		h, err := readIDX(l.name, in)
		if err != nil {
			return 0, err
		}
		if h.kind != idxBytes || len(h.dims) < 3 {
			return 0, fail(l.name, fmt.Sprintf("an IDX file of %d dimensions, images are 3 or 4 dimensions of bytes", len(h.dims)), "")
		}
		dims, start = h.dims, h.headerBytes()
	} else {
		a, err := readNPY(l.name, in)
		if err != nil {
			return 0, err
		}
		if a.kind != 'u' || a.size != 1 || len(a.shape) < 3 {
			return 0, fail(l.name, fmt.Sprintf("an array of %s with %d dimensions, images are 3 or 4 dimensions of u1", a.typeName(), len(a.shape)), "save (images, height, width, channels) as numpy.uint8, from 0 to 255")
		}
		dims, start = a.shape, a.start
	}
	if len(dims) == 3 {
		dims = append(dims[:3:3], 1)
	}
	want := &l.plan.Data.Image
	if got := (plan.Image{Height: dims[1], Width: dims[2], Channels: dims[3]}); got != *want {
		return 0, wrongSize(l.name, "images are", got, *want)
	}
	if dims[0] != n {
		return 0, fail(l.name, fmt.Sprintf("%d images, and %d labels in %s", dims[0], n, labels), "give the labels that belong to the images")
	}
	return start, nil
}

func wrongSize(file, are string, got, want plan.Image) error {
	return fail(file, fmt.Sprintf("%s %s, the plan wants %s", are, sizeText(got), sizeText(want)), "resize where the images are stored, or ask for a plan with their size; nothing is resized on the way")
}

func sizeText(i plan.Image) string {
	return fmt.Sprintf("%d × %d × %d (height, width, channels)", i.Height, i.Width, i.Channels)
}
