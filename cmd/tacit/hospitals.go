package main

import (
	"bytes"

	"tacit/dataset"
	"tacit/plan"
	heartdisease "tacit/testdata/heart-disease"
)

// hospitals reads the embedded rows of the four hospitals as a plan sees them.
func hospitals(p *plan.Plan) (map[string]*dataset.Data, error) {
	out := map[string]*dataset.Data{}
	for _, site := range heartdisease.Sites() {
		d, err := dataset.Read(p, dataset.Files{
			Name: site.File, Rows: bytes.NewReader(heartdisease.Rows(site.Name)),
			SplitName: "split.csv", Split: bytes.NewReader(heartdisease.Split(site.Name)), Center: site.Name,
		})
		if err != nil {
			return nil, err
		}
		out[site.Name] = d
	}
	return out, nil
}

// pool puts every site's training rows, and every site's test rows, together.
func pool(data map[string]*dataset.Data) (train, test *dataset.Table, err error) {
	var trains, tests []*dataset.Table
	for _, site := range heartdisease.Sites() {
		trains, tests = append(trains, data[site.Name].Train), append(tests, data[site.Name].Test)
	}
	if train, err = dataset.Concat(trains...); err != nil {
		return nil, nil, err
	}
	test, err = dataset.Concat(tests...)
	return train, test, err
}
