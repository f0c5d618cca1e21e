package dataset

import (
	"bufio"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // pictures in folders
	_ "image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tacit/plan"
)

// pictures is image files, one folder per class. A picture of more than 8 bits a
// channel keeps the upper 8. Where the plan has one channel, colours become their
// luminance as [color.GrayModel] has it; where it has three, a gray picture gets
// three equal ones. Every file is read again whenever its picture is wanted.
type pictures struct {
	size   plan.Image
	files  []file
	labels []int32
}

func (p *pictures) len() int { return len(p.files) }

func (p *pictures) get(x *example, i int) error {
	b := make([]byte, p.size.Height*p.size.Width*p.size.Channels)
	if err := p.decode(b, i); err != nil {
		return err
	}
	x.u = x.scratch(len(b))
	for j, v := range b {
		x.u[j] = units[v]
	}
	x.labels = p.labels[i : i+1]
	return nil
}

// decode reads picture i into b.
func (p *pictures) decode(b []byte, i int) error {
	f := &p.files[i]
	in, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	// The size is known before anything is allocated for it.
	if err := p.checkSize(f.path, in); err != nil {
		return err
	}
	if _, err := in.Seek(0, 0); err != nil {
		return damaged(f.path, err)
	}
	img, _, err := image.Decode(bufio.NewReader(in))
	if err != nil {
		return fail(f.path, "the picture is damaged", "copy the file again, or remove it")
	}
	if o, ok := img.(interface{ Opaque() bool }); ok && !o.Opaque() {
		return fail(f.path, "the picture is transparent, which no channel of the plan says", "store it without an alpha channel")
	}
	at := img.Bounds().Min
	if gray, ok := img.(*image.Gray); ok && p.size.Channels == 1 {
		for y := range p.size.Height {
			copy(b[y*p.size.Width:][:p.size.Width], gray.Pix[gray.PixOffset(at.X, at.Y+y):])
		}
		return nil
	}
	for y := range p.size.Height {
		for x := range p.size.Width {
			c := img.At(at.X+x, at.Y+y)
			if p.size.Channels == 1 {
				b[0] = color.GrayModel.Convert(c).(color.Gray).Y
			} else {
				r, g, bl, _ := c.RGBA()
				b[0], b[1], b[2] = byte(r>>8), byte(g>>8), byte(bl>>8)
			}
			b = b[p.size.Channels:]
		}
	}
	return nil
}

func (p *pictures) checkSize(path string, in *os.File) error {
	c, _, err := image.DecodeConfig(bufio.NewReader(in))
	if err != nil {
		return fail(path, "neither a PNG nor a JPEG picture, or damaged", "copy the file again, or remove it")
	}
	if c.Height != p.size.Height || c.Width != p.size.Width {
		return fail(path, fmt.Sprintf("the picture is %d × %d pixels (height, width), the plan wants %d × %d", c.Height, c.Width, p.size.Height, p.size.Width),
			"resize where the images are stored, or ask for a plan with their size; nothing is resized on the way")
	}
	return nil
}

// readFolder loads pictures from root/class/file.
func (l *loading) readFolder() (*Data, error) {
	root := l.src.Path
	p := &pictures{size: l.plan.Data.Image}
	if p.size.Channels != 1 && p.size.Channels != 3 {
		return nil, fail(root, fmt.Sprintf("pictures have 1 or 3 channels, the plan wants %d", p.size.Channels), "")
	}
	classes, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	for _, class := range classes {
		if strings.HasPrefix(class.Name(), ".") {
			continue
		}
		folder := filepath.Join(root, class.Name())
		label := slices.Index(l.plan.Data.ClassNames, class.Name())
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return nil, fail(folder, "not a folder; pictures lie in one folder per class", "")
		}
		if label < 0 {
			return nil, fail(folder, fmt.Sprintf("the folder is none of the plan's classes: %s", shorten(l.plan.Data.ClassNames)), "rename it, or move it elsewhere")
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") {
				continue
			}
			f, err := newFile(filepath.Join(folder, e.Name()))
			if err != nil {
				return nil, err
			}
			if len(p.files) == l.plan.Data.MaxExamples {
				return nil, tooMany(root, l.plan, "pictures")
			}
			p.files, p.labels = append(p.files, *f), append(p.labels, int32(label))
		}
	}
	if len(p.files) == 0 {
		return nil, fail(root, "no pictures", "put them into one folder per class: "+shorten(l.plan.Data.ClassNames))
	}
	total := int64(len(p.files)) * int64(l.width)
	if total > l.memory {
		t := l.table(p)
		t.stats = new(tally)
		return l.drawn(t)
	}
	all := &pixels{width: l.width, b: make([]byte, total), labels: p.labels}
	for i := range p.files {
		if err := p.decode(all.b[i*l.width:][:l.width], i); err != nil {
			return nil, err
		}
	}
	return l.drawn(l.table(all))
}
