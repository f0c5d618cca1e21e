package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tacit/plan"
)

// imagePlan is a plan about images of two classes.
func imagePlan(height, width, channels int, holdout float64) *plan.Plan {
	p := plan.Default()
	p.Name = "pictures"
	p.Data.Kind = plan.KindImages
	p.Data.Image = plan.Image{Height: height, Width: width, Channels: channels}
	p.Data.ClassNames = []string{"cat", "dog"}
	p.Data.Target.Type = plan.Class
	p.Evaluation.Holdout = holdout
	return p
}

// idxBytesOf writes an IDX file of bytes.
func idxBytesOf(kind byte, dims []int, data []byte) []byte {
	b := []byte{0, 0, kind, byte(len(dims))}
	for _, n := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, data...)
}

// npyBytesOf writes a NumPy file as numpy.save does.
func npyBytesOf(version byte, descr, shape string, data []byte) []byte {
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	b := []byte("\x93NUMPY")
	b = append(b, version, 0)
	size := 2
	if version > 1 {
		size = 4
	}
	for (len(b)+size+len(head)+1)%64 != 0 {
		head += " "
	}
	head += "\n"
	if version > 1 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	} else {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(head)))
	}
	return append(append(b, head...), data...)
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// folderOf writes files and returns their folder.
func folderOf(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// counted is n images of one row of width bytes, whose values count up, and labels.
func counted(n, width int) (pixels, labels []byte) {
	for i := range n {
		for j := range width {
			pixels = append(pixels, byte(i*width+j))
		}
		labels = append(labels, byte(i%2))
	}
	return pixels, labels
}

// The same images come from every format, held in memory or not.
func TestImages(t *testing.T) {
	const n = 40
	pixels, labels := counted(n, 6)
	files := map[string][]byte{
		"plain/train-images-idx3-ubyte":     idxBytesOf(8, []int{n, 2, 3}, pixels),
		"plain/train-labels-idx1-ubyte":     idxBytesOf(8, []int{n}, labels),
		"zipped/train-images-idx3-ubyte.gz": zipped(idxBytesOf(8, []int{n, 2, 3}, pixels)),
		"zipped/train-labels-idx1-ubyte.gz": zipped(idxBytesOf(8, []int{n}, labels)),
		"numpy/images.npy":                  npyBytesOf(1, "|u1", fmt.Sprintf("(%d, 2, 3)", n), pixels),
		"numpy/labels.npy":                  npyBytesOf(2, "<i8", fmt.Sprintf("(%d,)", n), wide(labels)),
		"numpy4/x.npy":                      npyBytesOf(3, "|u1", fmt.Sprintf("(%d, 2, 3, 1)", n), pixels),
		"numpy4/y.npy":                      npyBytesOf(1, "|u1", fmt.Sprintf("(%d, 1)", n), labels),
		"idx4/pictures-images-idx4-ubyte":   idxBytesOf(8, []int{n, 2, 3, 1}, pixels),
		"idx4/pictures-labels-idx1-ubyte":   idxBytesOf(0x0c, []int{n}, bigEndian(labels)),
	}
	for i := range n {
		img := &image.Gray{Pix: pixels[i*6:][:6], Stride: 3, Rect: image.Rect(0, 0, 3, 2)}
		var b bytes.Buffer
		png.Encode(&b, img)
		files[fmt.Sprintf("folder/%s/%03d.png", []string{"cat", "dog"}[i%2], i)] = b.Bytes()
	}
	files["folder/.hidden"], files["folder/cat/.DS_Store"] = nil, nil
	dir := folderOf(t, files)
	for _, src := range []Source{
		{Path: "plain/train-images-idx3-ubyte"},
		{Path: "zipped/train-images-idx3-ubyte.gz"},
		{Path: "numpy/images.npy"},
		{Path: "numpy4/x.npy", Labels: "numpy4/y.npy"},
		{Path: "idx4/pictures-images-idx4-ubyte", Format: "idx"},
		{Path: "folder"},
	} {
		for _, memory := range []int64{0, 10} {
			name := fmt.Sprintf("%s in %d bytes", src.Path, memory)
			s := src
			s.Path = filepath.Join(dir, src.Path)
			if s.Labels != "" {
				s.Labels = filepath.Join(dir, src.Labels)
			}
			s.Memory = memory
			p := imagePlan(2, 3, 1, 0.25)
			d, err := Load(p, s)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if d.Train.Streamed() != (memory > 0 && strings.HasPrefix(src.Path, "zipped")) {
				t.Errorf("%s: streamed is %t", name, d.Train.Streamed())
			}
			if d.Train.Len()+d.Test.Len() != n || d.Rows != n || d.Test.Len() == 0 || !d.Train.Streamed() && d.Test.Len() != 10 {
				t.Errorf("%s: %d and %d images of %d", name, d.Train.Len(), d.Test.Len(), d.Rows)
			}
			seen := map[byte]bool{}
			for _, table := range []*Table{d.Train, d.Test} {
				var sum, squares float64
				all := rowsOf(table)
				for i := range table.Len() {
					row := all.u[i*6:][:6]
					first := byte(row[0]*255 + 0.5)
					if k := int(first) / 6; all.labels[i] != int32(k%2) || first%6 != 0 {
						t.Errorf("%s: the image that begins with %d has label %d", name, first, all.labels[i])
					}
					seen[first] = true
					a, b := 0.0, 0.0
					for j, u := range row {
						if u != float64(first+byte(j))/255 {
							t.Errorf("%s: pixel %d of an image that begins with %d is %v", name, j, first, u*255)
						}
						a, b = a+u, b+u*u
					}
					sum, squares = sum+a/6, squares+b/6
				}
				s := table.Statistics()
				if len(s.N) != 1 || s.N[0] != float64(table.Len()) || !near(s.Sum[0], sum) || !near(s.SumSq[0], squares) {
					t.Errorf("%s: statistics %v, want %d, %v, %v", name, s, table.Len(), sum, squares)
				}
			}
			if len(seen) != n {
				t.Errorf("%s: %d different images", name, len(seen))
			}
			std, err := d.Train.Standardisation()
			if err != nil {
				t.Fatal(err)
			}
			e, err := d.Train.Examples(std)
			if err != nil {
				t.Fatal(err)
			}
			stream, _ := e.Stream(1, 7, 0)
			b, err := stream.Next()
			if err != nil || b.Len() != 7 || len(b.X) != 42 || len(b.Labels) != 7 || b.Targets != nil {
				t.Errorf("%s: a batch %+v, %v", name, b, err)
			}
			if err := d.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

func wide(labels []byte) (b []byte) {
	for _, l := range labels {
		b = binary.LittleEndian.AppendUint64(b, uint64(l))
	}
	return b
}

func bigEndian(labels []byte) (b []byte) {
	for _, l := range labels {
		b = binary.BigEndian.AppendUint32(b, uint32(l))
	}
	return b
}

// A test file of its own leaves the plan's holdout alone.
func TestImagesTestFile(t *testing.T) {
	pixels, labels := counted(10, 6)
	dir := folderOf(t, map[string][]byte{
		"train-images-idx3-ubyte": idxBytesOf(8, []int{10, 2, 3}, pixels),
		"train-labels-idx1-ubyte": idxBytesOf(8, []int{10}, labels),
		"t10k-images-idx3-ubyte":  idxBytesOf(8, []int{4, 2, 3}, pixels[:24]),
		"t10k-labels-idx1-ubyte":  idxBytesOf(8, []int{4}, labels[:4]),
	})
	d, err := Load(imagePlan(2, 3, 1, 0.5), Source{Path: filepath.Join(dir, "train-images-idx3-ubyte"), Test: filepath.Join(dir, "t10k-images-idx3-ubyte")})
	if err != nil || d.Train.Len() != 10 || d.Test.Len() != 4 || d.Rows != 14 {
		t.Fatalf("%+v, %v", d, err)
	}
	if got := rowsOf(d.Test).labels; !slices.Equal(got, []int32{0, 1, 0, 1}) {
		t.Errorf("test labels %v", got)
	}
}

func TestImagesRefuse(t *testing.T) {
	pixels, labels := counted(4, 6)
	good := idxBytesOf(8, []int{4, 2, 3}, pixels)
	goodLabels := idxBytesOf(8, []int{4}, labels)
	for name, c := range map[string]struct {
		images, labels []byte
		want           string
	}{
		"not IDX":         {[]byte("PNG and nothing else"), goodLabels, "not an IDX file of 1 to 4 dimensions"},
		"empty":           {nil, goodLabels, "the file ends too early"},
		"short":           {good[:len(good)-1], goodLabels, "the file holds 23 bytes of pixels, its header promises 24"},
		"long":            {append(slices.Clone(good), 0), goodLabels, "the file holds 25 bytes of pixels, its header promises 24"},
		"gzip, short":     {zipped(good[:len(good)-1]), goodLabels, "the file ends too early"},
		"gzip, long":      {zipped(append(slices.Clone(good), 0)), goodLabels, "bytes stand behind the data that the header promises"},
		"gzip, damaged":   {zipped(good)[:30], goodLabels, "the file ends too early"},
		"more promised":   {idxBytesOf(8, []int{1 << 30, 2, 3}, pixels), goodLabels, "1073741824 images, and 4 labels in LABELS"},
		"absurd":          {idxBytesOf(8, []int{1 << 30, 1 << 30, 1 << 30}, pixels), goodLabels, "the header promises more than a file can hold"},
		"another size":    {idxBytesOf(8, []int{4, 3, 2}, pixels), goodLabels, "images are 3 × 2 × 1 (height, width, channels), the plan wants 2 × 3 × 1 (height, width, channels)"},
		"floats":          {idxBytesOf(0x0d, []int{4, 2, 3}, pixels), goodLabels, "an IDX file of 3 dimensions, images are 3 or 4 dimensions of bytes"},
		"fewer labels":    {good, idxBytesOf(8, []int{3}, labels[:3]), "4 images, and 3 labels in LABELS"},
		"label promised":  {good, idxBytesOf(8, []int{1 << 30}, labels), "1073741824 labels, the plan allows 10000 examples"},
		"labels cut":      {good, goodLabels[:len(goodLabels)-1], "the file ends too early"},
		"label too large": {good, idxBytesOf(8, []int{4}, []byte{0, 1, 2, 0}), "label 3 of the file is none of the plan's classes, 0 to 1"},
		"label below 0":   {good, idxBytesOf(9, []int{4}, []byte{0, 1, 1, 255}), "label 4 of the file is none of the plan's classes, 0 to 1"},
	} {
		dir := folderOf(t, map[string][]byte{"images": c.images, "y": c.labels})
		y := filepath.Join(dir, "y")
		d, err := Load(imagePlan(2, 3, 1, 0), Source{Format: "idx", Path: filepath.Join(dir, "images"), Labels: y})
		want := strings.ReplaceAll(c.want, "LABELS", y)
		var typed *Error
		if d != nil || !errors.As(err, &typed) || typed.Problems[0].Message != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	dir := folderOf(t, map[string][]byte{"a": good})
	if _, err := Load(imagePlan(2, 3, 1, 0), Source{Format: "idx", Path: filepath.Join(dir, "a")}); err == nil || !strings.Contains(err.Error(), "no file of labels is known") {
		t.Errorf("no labels: %v", err)
	}
}

func TestFolderRefuses(t *testing.T) {
	encode := func(img image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := encode(image.NewGray(image.Rect(0, 0, 3, 2)))
	clear := encode(image.NewNRGBA(image.Rect(0, 0, 3, 2)))
	// A header that promises 2^31 pixels a side, and nothing behind it.
	huge := slices.Clone(good)
	binary.BigEndian.PutUint32(huge[16:], 1<<31-1)
	binary.BigEndian.PutUint32(huge[20:], 1<<31-1)
	for name, c := range map[string]struct {
		files map[string][]byte
		file  string
		want  string
	}{
		"another size":  {map[string][]byte{"cat/1.png": good, "cat/2.png": encode(image.NewGray(image.Rect(0, 0, 2, 3)))}, "cat/2.png", "the picture is 3 × 2 pixels (height, width), the plan wants 2 × 3"},
		"taller":        {map[string][]byte{"cat/1.png": encode(image.NewGray(image.Rect(0, 0, 3, 4)))}, "cat/1.png", "the picture is 4 × 3 pixels (height, width), the plan wants 2 × 3"},
		"wider":         {map[string][]byte{"cat/1.png": encode(image.NewGray(image.Rect(0, 0, 4, 2)))}, "cat/1.png", "the picture is 2 × 4 pixels (height, width), the plan wants 2 × 3"},
		"cut":           {map[string][]byte{"cat/1.png": good[:len(good)-20]}, "cat/1.png", "the picture is damaged"},
		"no picture":    {map[string][]byte{"cat/notes.txt": []byte("cats")}, "cat/notes.txt", "neither a PNG nor a JPEG picture, or damaged"},
		"header":        {map[string][]byte{"cat/1.png": huge}, "cat/1.png", "neither a PNG nor a JPEG picture, or damaged"},
		"unknown class": {map[string][]byte{"cow/1.png": good}, "cow", "the folder is none of the plan's classes: cat, dog"},
		"loose file":    {map[string][]byte{"1.png": good}, "1.png", "not a folder; pictures lie in one folder per class"},
		"transparent":   {map[string][]byte{"cat/1.png": clear}, "cat/1.png", "the picture is transparent, which no channel of the plan says"},
		"none":          {map[string][]byte{"cat/.keep": nil}, "", "no pictures"},
	} {
		dir := folderOf(t, c.files)
		_, err := Load(imagePlan(2, 3, 1, 0), Source{Path: dir})
		var typed *Error
		if !errors.As(err, &typed) || typed.Problems[0].Message != c.want || typed.File != filepath.Join(dir, c.file) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Gray and coloured pictures serve plans of one and of three channels.
func TestFolderChannels(t *testing.T) {
	red := image.NewRGBA(image.Rect(5, 5, 8, 7)) // bounds need not begin at 0
	for y := 5; y < 7; y++ {
		for x := 5; x < 8; x++ {
			red.Set(x, y, color.RGBA{200, 100, 50, 255})
		}
	}
	var coloured, gray, photo bytes.Buffer
	png.Encode(&coloured, red)
	g := image.NewGray16(image.Rect(0, 0, 3, 2))
	for i := range g.Pix {
		g.Pix[i] = 0x80
	}
	png.Encode(&gray, g)
	jpeg.Encode(&photo, red, &jpeg.Options{Quality: 100})
	dir := folderOf(t, map[string][]byte{"cat/a.png": coloured.Bytes(), "cat/b.png": gray.Bytes(), "dog/c.jpg": photo.Bytes()})
	d, err := Load(imagePlan(2, 3, 3, 0), Source{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	u := rowsOf(d.Train).u
	if got := [...]float64{u[0] * 255, u[1] * 255, u[2] * 255, u[18] * 255, u[19] * 255}; got != [...]float64{200, 100, 50, 128, 128} {
		t.Errorf("colours %v", got)
	}
	if r := u[36] * 255; r < 195 || r > 205 {
		t.Errorf("a JPEG's red is %v", r)
	}
	d, err = Load(imagePlan(2, 3, 1, 0), Source{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(d.Train).u[0] * 255; got != 124 { // (19595·200 + 38470·100 + 7471·50 + 2^15) >> 16
		t.Errorf("luminance %v", got)
	}
	// A picture that changes while it is in use is noticed.
	d, err = Load(imagePlan(2, 3, 1, 0), Source{Path: dir, Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cat/b.png"), coloured.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	e, _ := d.Train.Examples(nil)
	stream, _ := e.Stream(1, 3, 0)
	if _, err := stream.Next(); err == nil || !strings.Contains(err.Error(), "changed while it is in use") {
		t.Errorf("a picture that changed: %v", err)
	}
}

// MNIST as it is published, with its own test images.
func TestMNIST(t *testing.T) {
	dir := dataFolder(t, "mnist")
	p := imagePlan(28, 28, 1, 0.2)
	p.Data.ClassNames = strings.Split("0123456789", "")
	p.Data.MaxExamples = 60000
	d, err := Load(p, Source{Path: filepath.Join(dir, "train-images-idx3-ubyte.gz"), Test: filepath.Join(dir, "t10k-images-idx3-ubyte.gz")})
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 60000 || d.Test.Len() != 10000 || d.Train.Width() != 784 {
		t.Errorf("%d and %d images of %d pixels", d.Train.Len(), d.Test.Len(), d.Train.Width())
	}
	s := d.Train.Statistics()
	if mean := s.Sum[0] / s.N[0]; mean < 0.13065 || mean > 0.13067 { // as everybody's training scripts have it: 0.1307
		t.Errorf("mean pixel %v", mean)
	}
	var x example
	d.Train.indexed.get(&x, 0)
	if x.labels[0] != 5 {
		t.Errorf("the first training image is a %d", x.labels[0])
	}
}

// dataFolder returns a folder of the larger data sets, which the project does not
// ship.
func dataFolder(t *testing.T, name string) string {
	t.Helper()
	root := os.Getenv("TACIT_DATA")
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); root == "" || err != nil {
		if os.Getenv("TACIT_REQUIRE_DATA") == "1" {
			t.Fatalf("TACIT_DATA names no folder with %s in it", name)
		}
		t.Skipf("TACIT_DATA names no folder with %s in it", name)
	}
	return dir
}

func FuzzIDX(f *testing.F) {
	pixels, labels := counted(4, 6)
	f.Add(idxBytesOf(8, []int{4, 2, 3}, pixels), idxBytesOf(8, []int{4}, labels))
	f.Add(idxBytesOf(0x0c, []int{1 << 31, 1 << 31}, nil), idxBytesOf(0x0c, []int{4}, bigEndian(labels)))
	f.Fuzz(func(t *testing.T, images, labels []byte) {
		if h, err := readIDX("x", bytes.NewReader(images)); err == nil {
			if len(h.dims) < 1 || len(h.dims) > 4 || h.headerBytes() > int64(len(images)) {
				t.Errorf("header %+v of %d bytes", h, len(images))
			}
		}
		got, err := readLabelsIDX("y", bytes.NewReader(labels), 1000, 10)
		if err != nil {
			return
		}
		for _, l := range got {
			if l < 0 || l > 9 {
				t.Errorf("label %d", l)
			}
		}
		if len(got) > len(labels) {
			t.Errorf("%d labels of %d bytes", len(got), len(labels))
		}
	})
}

func FuzzNPY(f *testing.F) {
	f.Add(npyBytesOf(1, "<f4", "(2, 3)", make([]byte, 24)))
	f.Add(npyBytesOf(2, ">i8", "(2,)", make([]byte, 16)))
	f.Add(npyBytesOf(3, "|b1", "(2, 3, 4, 1)", make([]byte, 24)))
	f.Add(npyBytesOf(1, "<f8", "(99999999, 99999999)", nil))
	f.Add([]byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readNPY("x", bytes.NewReader(b))
		if err != nil {
			return
		}
		if a.start > int64(len(b)) || len(a.shape) < 1 || len(a.shape) > 4 {
			t.Errorf("%+v of %d bytes", a, len(b))
		}
		for i := a.start; i+int64(a.size) <= int64(len(b)); i += int64(a.size) {
			a.cell(b[i:])
		}
	})
}
