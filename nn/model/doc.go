// Package model keeps trained networks in safetensors files that PyTorch reads as they
// are:
//
//	file, err := model.Append(nil, layout, &model.Model{Params: flat, Mean: mean, Std: std})
//	m, err := model.Parse(layout, file)
//
// A tensor has the name, shape and order of values that torch gives it in a
// torch.nn.Sequential of the same layers, so that load_state_dict takes the file, also
// with strict=True: a Dense's weight is [out][in] here though nn keeps [in][out], a
// Conv2D's [out][in][height][width], and the Dense behind a flattened image counts its
// inputs by [channels][height][width]. The counter num_batches_tracked of torch's batch
// norms is not written, as torch does without it, and passed over when read.
//
// How the inputs were standardised stands beside, as two tensors that belong to no
// module: an input u becomes
//
//	z = (u − standardise.mean)/(standardise.std + 1e-9)
//
// The metadata says "layout": "torch". A file that does not is refused: files of
// earlier versions have the same names with nn's order of values.
package model
