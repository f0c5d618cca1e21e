package main

import (
	"fmt"

	"tacit/client/solo"
	"tacit/nn/model"
	"tacit/nn/onnx"
)

// modelFile is a model trained alone as others read it.
func modelFile(m *solo.Model, format string) ([]byte, error) {
	spec := m.Plan.Spec()
	layout, err := spec.Layout()
	if err != nil {
		return nil, err
	}
	out := &model.Model{Params: m.Record.Params, Metadata: map[string]string{
		"format": "tacit", "plan": m.Plan.Hash().String(), "model": m.Record.Hash().String(),
	}}
	if std := m.Record.Standardisation; std != nil {
		out.Mean, out.Std = std.Mean, std.Std
	}
	switch format {
	case "safetensors":
		return model.Append(nil, layout, out)
	case "onnx":
		return onnx.Append(nil, spec, out.Params, onnx.Options{Mean: out.Mean, Std: out.Std, Name: m.Plan.Name, Metadata: out.Metadata})
	}
	return nil, fmt.Errorf("no such format: %s", format)
}
