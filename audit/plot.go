package audit

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// The plots are inline SVG, coloured by the page's style sheet so that they follow
// its light, dark and print forms. Products are converted before they are added: the
// compiler may otherwise fuse them on some machines, and the page must be the same
// bytes everywhere.

type point struct{ x, y float64 }

func coordinate(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

// niceStep returns a step of 1, 2 or 5 times a power of ten that cuts span into at
// most n parts.
func niceStep(span float64, n int) float64 {
	for exp := -9; exp < 18; exp++ {
		for _, m := range []float64{1, 2, 5} {
			// ParseFloat rounds correctly on every machine; math.Pow10 products need not.
			step, _ := strconv.ParseFloat(fmt.Sprintf("%ge%d", m, exp), 64)
			if span <= step*float64(n) {
				return step
			}
		}
	}
	return span
}

// plotCurve draws "accuracy" or "loss" of a run per round.
func plotCurve(r *runView, what string) template.HTML {
	var pts []point
	for _, a := range r.Attempts {
		v := a.Loss
		if what == "accuracy" {
			v = a.Accuracy
		}
		if a.Outcome != "committed" || v == nil || a.Task == Statistics.String() {
			continue
		}
		// The metrics of a training round are of the model that it received.
		x := float64(a.Round) - 1
		if a.Task == Evaluate.String() {
			x = float64(r.Trained)
		}
		pts = append(pts, point{x, *v})
	}
	if len(pts) < 2 {
		return ""
	}
	const width, height, left, right, top, bottom = 460.0, 236.0, 46.0, 18.0, 22.0, 36.0
	lo, hi, xmin, xmax := pts[0].y, pts[0].y, pts[0].x, pts[0].x
	for _, p := range pts {
		lo, hi = min(lo, p.y), max(hi, p.y)
		xmin, xmax = min(xmin, p.x), max(xmax, p.x)
	}
	if what == "accuracy" {
		hi = min(1, hi+0.02)
	}
	step := niceStep(max(hi-lo, 1e-6), 4)
	lo, hi = step*math.Floor(lo/step), step*math.Ceil(hi/step)
	if hi <= lo {
		hi = lo + step
	}
	sx := func(x float64) float64 { return left + float64((x-xmin)/(xmax-xmin)*(width-left-right)) }
	sy := func(y float64) float64 { return top + float64((hi-y)/(hi-lo)*(height-top-bottom)) }
	var b strings.Builder
	title := "Accuracy per round"
	if what == "loss" {
		title = "Loss per round"
	}
	final := pts[len(pts)-1]
	fmt.Fprintf(&b, `<figure class="plot"><figcaption>%s</figcaption><svg viewBox="0 0 %g %g" role="img" aria-label="%s: from %.4f to %.4f">`, title, width, height, title, pts[0].y, final.y)
	digits := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	for i := 0; ; i++ {
		y := lo + float64(float64(i)*step)
		if y > hi+step/2 {
			break
		}
		fmt.Fprintf(&b, `<path class="grid" d="M%s %sH%s"/><text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`,
			coordinate(left), coordinate(sy(y)), coordinate(width-right), coordinate(left-8), coordinate(sy(y)+3.5), strconv.FormatFloat(y, 'f', digits, 64))
	}
	xstep := max(1, niceStep(xmax-xmin, 8))
	for x := xstep * math.Ceil(xmin/xstep); x <= xmax+1e-9; x += xstep {
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="%s" text-anchor="middle">%s</text>`, coordinate(sx(x)), coordinate(height-bottom+17), number(x))
	}
	fmt.Fprintf(&b, `<text class="axis" x="%s" y="%s" text-anchor="middle">training rounds behind the model</text>`, coordinate((left+width-right)/2), coordinate(height-3))
	var path strings.Builder
	for i, p := range pts {
		cmd := "L"
		if i == 0 {
			cmd = "M"
		}
		path.WriteString(cmd + coordinate(sx(p.x)) + " " + coordinate(sy(p.y)))
	}
	fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, what, path.String())
	if len(pts) <= 60 {
		for _, p := range pts[:len(pts)-1] {
			fmt.Fprintf(&b, `<circle class="dot %s" cx="%s" cy="%s" r="2.6"/>`, what, coordinate(sx(p.x)), coordinate(sy(p.y)))
		}
	}
	fmt.Fprintf(&b, `<circle class="end %s" cx="%s" cy="%s" r="4.4"/>`, what, coordinate(sx(final.x)), coordinate(sy(final.y)))
	// The label stands above whatever the curve does beneath it.
	above := sy(final.y)
	for _, p := range pts {
		if sx(p.x) > sx(final.x)-48 {
			above = min(above, sy(p.y))
		}
	}
	fmt.Fprintf(&b, `<text class="value" x="%s" y="%s" text-anchor="end">%.4f</text>`, coordinate(sx(final.x)+4), coordinate(above-10), final.y)
	b.WriteString(`</svg></figure>`)
	return template.HTML(b.String())
}

// maxPhaseColumns is how many attempts the plot of phases shows singly; longer runs
// are drawn in groups, each by its worst attempt.
const maxPhaseColumns = 60

var phaseNames = [5]string{"opened", "reported", "in the set", "voted", "released"}

// plotPhases draws how many branches took part in each phase of each attempt.
func plotPhases(r *runView) template.HTML {
	var closed []attemptView
	for _, a := range r.Attempts {
		if a.Outcome != "open" {
			closed = append(closed, a)
		}
	}
	if len(closed) == 0 {
		return ""
	}
	per := (len(closed) + maxPhaseColumns - 1) / maxPhaseColumns
	columns := (len(closed) + per - 1) / per
	const left, top, cell, gap = 84.0, 6.0, 20.0, 3.0
	slot := min(36.0, 860.0/float64(columns))
	height := top + 5*(cell+gap) + 34
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="plot phases"><figcaption>Branches per phase and attempt</figcaption><svg viewBox="0 0 960 %s" role="img" aria-label="How many branches took part in each phase of each attempt">`, coordinate(height))
	for i, n := range phaseNames {
		fmt.Fprintf(&b, `<text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`, coordinate(left-10), coordinate(top+float64(float64(i)*(cell+gap))+14), n)
	}
	every := 1
	for float64(every)*slot < 22 {
		every++
	}
	for col := range columns {
		group := closed[col*per : min(len(closed), (col+1)*per)]
		worst := group[0].counts
		members, aborted := group[0].Members, false
		for _, a := range group {
			for i := range worst {
				worst[i] = min(worst[i], a.counts[i])
			}
			members, aborted = max(members, a.Members), aborted || a.Outcome == "aborted"
		}
		x := left + float64(float64(col)*slot)
		for i, n := range worst {
			class := "full"
			switch {
			case n == 0:
				class = "zero"
			case n < members:
				class = "part"
			}
			y := top + float64(float64(i)*(cell+gap))
			fmt.Fprintf(&b, `<rect class="cell %s" x="%s" y="%s" width="%s" height="%s" rx="2.5"/>`, class, coordinate(x), coordinate(y), coordinate(slot-gap), coordinate(cell))
			if slot >= 13 {
				fmt.Fprintf(&b, `<text class="count %s" x="%s" y="%s" text-anchor="middle">%d</text>`, class, coordinate(x+float64((slot-gap)/2)), coordinate(y+14), n)
			}
		}
		label := "axis"
		if aborted {
			label = "axis bad"
		}
		if col%every == 0 || aborted {
			fmt.Fprintf(&b, `<text class="%s" x="%s" y="%s" text-anchor="middle">%d</text>`, label, coordinate(x+float64((slot-gap)/2)), coordinate(top+5*(cell+gap)+13), group[0].R)
		}
	}
	note := "attempt; an aborted one in red. Votes and releases are counted until there are enough"
	if per > 1 {
		note = fmt.Sprintf("first attempt of each group of %d; the lowest count of the group", per)
	}
	fmt.Fprintf(&b, `<text class="axis" x="%s" y="%s">%s</text></svg></figure>`, coordinate(left), coordinate(height-4), note)
	return template.HTML(b.String())
}

// plotTraffic draws bytes per branch, by class.
func plotTraffic(w *view) template.HTML {
	var most uint64
	for _, x := range w.Branches {
		most = max(most, x.Bytes)
	}
	if most == 0 {
		return ""
	}
	const left, right, row = 150.0, 90.0, 30.0
	const width = 960.0
	height := float64(float64(len(w.Branches))*row) + 34
	var b strings.Builder
	fmt.Fprintf(&b, `<figure class="plot"><figcaption>Bytes that left each branch</figcaption><svg viewBox="0 0 %g %s" role="img" aria-label="Bytes that left each branch, by class">`, width, coordinate(height))
	for i, x := range w.Branches {
		y := float64(float64(i) * row)
		fmt.Fprintf(&b, `<text class="name" x="%s" y="%s" text-anchor="end">%s</text>`, coordinate(left-12), coordinate(y+18), template.HTMLEscapeString(clip(x.Site, 20)))
		at := left
		for _, c := range x.Classes {
			if c.Bytes == 0 {
				continue
			}
			length := float64(float64(c.Bytes) / float64(most) * (width - left - right))
			fmt.Fprintf(&b, `<rect class="bar %s" x="%s" y="%s" width="%s" height="18"/>`, c.Class, coordinate(at), coordinate(y+5), coordinate(max(length, 0.5)))
			at += length
		}
		fmt.Fprintf(&b, `<text class="value" x="%s" y="%s">%s</text>`, coordinate(at+8), coordinate(y+18), humanBytes(x.Bytes))
	}
	x := left
	for _, c := range Classes() {
		used := false
		for _, br := range w.Branches {
			used = used || br.Classes[c-ClassRows].Bytes > 0
		}
		if !used {
			continue
		}
		name := strings.ReplaceAll(c.String(), "_", " ")
		fmt.Fprintf(&b, `<rect class="bar %s" x="%s" y="%s" width="11" height="11"/><text class="tick" x="%s" y="%s">%s</text>`,
			c, coordinate(x), coordinate(height-14), coordinate(x+17), coordinate(height-4.5), name)
		x += 30 + float64(7*len(name))
	}
	b.WriteString(`</svg></figure>`)
	return template.HTML(b.String())
}

// clip shortens a name for a label.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
