package model

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// A RoPE describes rotary positions: pair i of a head, its elements i and
// i + len(InvFreq), is rotated by position·InvFreq[i].
type RoPE struct {
	Kind    string // default, linear, dynamic, llama3, yarn or longrope
	InvFreq []float64
	Scale   float64 // on sine and cosine

	// Original is the length up to which InvFreq counts; 0: any. Longer sequences
	// have the frequencies Long (longrope), or stretched ones (dynamic). As in the
	// reference, the longest sequence of a batch decides for all of it.
	Original int
	Long     []float64

	base, factor float64 // of dynamic
}

// Frequencies returns those for a batch whose longest sequence has n tokens.
func (r *RoPE) Frequencies(n int) []float64 {
	switch {
	case r.Original == 0 || n <= r.Original:
		return r.InvFreq
	case r.Long != nil:
		return r.Long
	}
	dim := float64(2 * len(r.InvFreq))
	return powers(r.base*math.Pow(r.factor*float64(n)/float64(r.Original)-(r.factor-1), dim/(dim-2)), 2*len(r.InvFreq))
}

// powers returns base^(−2i/dim).
func powers(base float64, dim int) []float64 {
	out := make([]float64, dim/2)
	for i := range out {
		out[i] = math.Pow(base, -float64(2*i)/float64(dim))
	}
	return out
}

// ropeKeys are the keys that each kind heeds, besides those of all.
var ropeKeys = map[string][]string{
	"default":  nil,
	"linear":   {"factor"},
	"dynamic":  {"factor"},
	"llama3":   {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
	"yarn":     {"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate", "original_max_position_embeddings"},
	"longrope": {"factor", "attention_factor", "short_factor", "long_factor", "original_max_position_embeddings"},
}

// ropeParams are the parameters of one kind of block.
type ropeParams struct {
	*reader
	at     string // where they stand, for errors
	values map[string]any
	dim    int // of the rotated part of a head
	m      *Config
}

// rope resolves the rotary positions of blocks of one kind.
func (c *reader) rope(m *Config, layerKind string) *RoPE {
	p := c.ropeParams(layerKind)
	p.m = m
	kind, _ := p.values["rope_type"].(string)
	if kind == "" {
		kind, _ = p.values["type"].(string)
	}
	// Phi-3's first files have other names for it.
	if c.heeds("original_max_position_embeddings") && (kind == "su" || kind == "yarn") {
		kind = "longrope"
	}
	if kind == "" {
		kind = "default"
	}
	heeded, known := ropeKeys[kind]
	if !known || c.heeds("original_max_position_embeddings") && kind != "default" && kind != "longrope" {
		c.refuse(p.at+"rope_type", kind)
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(p.values)) {
		always := k == "rope_type" || k == "type" || k == "rope_theta" || k == "partial_rotary_factor"
		if !always && !slices.Contains(heeded, k) && p.values[k] != nil {
			c.refuse(p.at+k+" with rope_type "+kind, p.values[k])
		}
	}
	base := p.number("rope_theta", 0)
	share := p.number("partial_rotary_factor", 1)
	p.dim = int(float64(m.HeadDim) * share)
	switch {
	case c.err != nil:
	case !(base > 1):
		c.fail("%srope_theta is %v, want a number above 1: %w", p.at, base, ErrConfig)
	case share != 1 && !c.partial:
		c.refuse(p.at+"partial_rotary_factor", share) // the reference passes it over, or fails
	case !(share > 0 && share <= 1) || p.dim%2 != 0 || p.dim == 0:
		c.fail("%spartial_rotary_factor %v of a head dimension of %d: %w", p.at, share, m.HeadDim, ErrConfig)
	}
	if c.err != nil {
		return nil
	}
	r := &RoPE{Kind: kind, InvFreq: powers(base, p.dim), Scale: 1}
	switch kind {
	case "linear":
		f := p.factor()
		for i := range r.InvFreq {
			r.InvFreq[i] /= f
		}
	case "dynamic":
		r.Original, r.base, r.factor = m.MaxPositions, base, p.factor()
		if p.dim == 2 {
			c.fail("rope_type dynamic with a head of 2: %w", ErrConfig)
		}
	case "llama3":
		p.llama3(r)
	case "yarn":
		p.yarn(r, base)
	case "longrope":
		p.longrope(r)
	}
	for _, f := range slices.Concat(r.InvFreq, r.Long, []float64{r.Scale}) {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			c.fail("%srope_type %s gives a frequency of %v: %w", p.at, kind, f, ErrConfig)
		}
	}
	return r
}

// ropeParams finds the parameters: in rope_parameters since transformers 5, one
// entry per kind of block in some families; before that in rope_scaling, with
// the base, and that of Gemma 3's blocks with a window, beside it.
func (c *reader) ropeParams(layerKind string) *ropeParams {
	object := func(key string) map[string]any {
		v, ok := c.get(key).(map[string]any)
		if !ok && c.get(key) != nil {
			c.wrong(key, "an object", c.get(key))
		}
		return v
	}
	scaling, params := object("rope_scaling"), object("rope_parameters")
	p := &ropeParams{reader: c, at: "rope_scaling: ", values: maps.Clone(scaling)}
	theta, base := "rope_theta", 10000.0
	switch {
	case len(scaling) > 0 && len(params) > 0:
		c.fail("there are both rope_scaling and rope_parameters: %w", ErrConfig)
	case c.nested:
		p.at = "rope_parameters: " + layerKind + ": "
		base = 500000
		if c.heeds("rope_local_base_freq") {
			base = 1e6
			if layerKind == slidingAttention {
				theta, base = "rope_local_base_freq", 10000
			}
		} else if v, _ := finiteNumber(c.get("rope_theta")); c.get("rope_theta") != nil && v != base {
			c.refuse("rope_theta outside rope_parameters", c.get("rope_theta")) // versions of the reference differ
		}
		if _, ok := scaling["rope_type"]; !ok && scaling["type"] != nil {
			c.refuse(p.at+"type", scaling["type"]) // versions of the reference differ
		}
		if len(params) > 0 {
			p.values = maps.Clone(c.nestedParams(params, layerKind))
		} else if layerKind == slidingAttention {
			p.values = nil // rope_scaling is for the others
		}
	case len(params) > 0:
		p.at, p.values = "rope_parameters: ", maps.Clone(params)
	}
	if c.heeds("no_rope_layer_interval") {
		base = 2e6
	}
	if p.values == nil {
		p.values = map[string]any{}
	}
	if v := c.get(theta); v != nil {
		base = 0
		if _, ok := p.values["rope_theta"]; !ok {
			p.values["rope_theta"] = v
		}
	}
	if _, ok := p.values["rope_theta"]; !ok {
		p.values["rope_theta"] = base
	}
	if v := c.get("partial_rotary_factor"); v != nil {
		if _, ok := p.values["partial_rotary_factor"]; !ok {
			p.values["partial_rotary_factor"] = v
		}
	}
	return p
}

// nestedParams returns the entry of one kind of block.
func (c *reader) nestedParams(params map[string]any, layerKind string) map[string]any {
	for _, k := range slices.Sorted(maps.Keys(params)) {
		_, ok := params[k].(map[string]any)
		switch {
		case k != fullAttention && k != slidingAttention:
			c.refuse("rope_parameters: "+k, params[k])
		case !ok && params[k] != nil:
			c.wrong("rope_parameters: "+k, "an object", params[k])
		}
	}
	v, _ := params[layerKind].(map[string]any)
	return v
}

// number returns a parameter, or def where it is absent or null.
func (p *ropeParams) number(key string, def float64) float64 {
	v := p.values[key]
	if v == nil {
		return def
	}
	x, ok := finiteNumber(v)
	if !ok {
		p.wrong(p.at+key, "a number", v)
	}
	return x
}

// needed returns a parameter above 0 that has no default.
func (p *ropeParams) needed(key string) float64 {
	x := p.number(key, 0)
	if !(x > 0) {
		p.fail("%s%s is %s, want a number above 0: %w", p.at, key, shown(p.values[key]), ErrConfig)
		return 1
	}
	return x
}

func (p *ropeParams) factor() float64 { return p.needed("factor") }

// original is the length that the model was first trained for.
func (p *ropeParams) original() float64 {
	if p.heeds("original_max_position_embeddings") { // Phi-3 keeps it outside, and there it counts
		return float64(p.count("original_max_position_embeddings"))
	}
	if p.values["original_max_position_embeddings"] == nil {
		return float64(p.m.MaxPositions)
	}
	return p.needed("original_max_position_embeddings")
}

// llama3 stretches long waves, leaves short ones, and goes over from one to the
// other in between (Llama 3.1).
func (p *ropeParams) llama3(r *RoPE) {
	factor, low, high, old := p.factor(), p.needed("low_freq_factor"), p.needed("high_freq_factor"), p.original()
	for i, f := range r.InvFreq {
		wave := 2 * math.Pi / f
		switch {
		case wave > old/low:
			r.InvFreq[i] = f / factor
		case wave >= old/high:
			smooth := (old/wave - low) / (high - low)
			r.InvFreq[i] = (1-smooth)*f/factor + smooth*f
		}
	}
}

// yarn is YaRN (Peng et al. 2023).
func (p *ropeParams) yarn(r *RoPE, base float64) {
	old := p.original()
	factor := float64(p.m.MaxPositions) / old
	if p.values["factor"] != nil {
		factor = p.factor()
	}
	or := func(v, def float64) float64 { // as Python's or
		if v == 0 {
			return def
		}
		return v
	}
	truncate := true
	if v := p.values["truncate"]; v != nil {
		b, ok := v.(bool)
		if !ok {
			p.wrong(p.at+"truncate", "true or false", v)
		}
		if truncate = b; !b && p.nested {
			p.refuse(p.at+"truncate", v) // the reference looks for it elsewhere
		}
	}
	dim := float64(p.dim)
	at := func(rotations float64) float64 {
		return dim * math.Log(old/(rotations*2*math.Pi)) / (2 * math.Log(base))
	}
	low, high := at(or(p.number("beta_fast", 0), 32)), at(or(p.number("beta_slow", 0), 1))
	if truncate {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, dim-1)
	if low == high {
		high += 0.001
	}
	for i, f := range r.InvFreq {
		stretched := min(max((float64(i)-low)/(high-low), 0), 1)
		r.InvFreq[i] = f/factor*stretched + f*(1-stretched)
	}
	magnitude := func(weight float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*weight*math.Log(factor) + 1
	}
	r.Scale = magnitude(1)
	if m, all := p.number("mscale", 0), p.number("mscale_all_dim", 0); m != 0 && all != 0 {
		r.Scale = magnitude(m) / magnitude(all)
	}
	if p.values["attention_factor"] != nil {
		r.Scale = p.needed("attention_factor")
	}
}

// longrope divides each frequency by a factor of its own, of two lists for short
// and long sequences (Ding et al. 2024).
func (p *ropeParams) longrope(r *RoPE) {
	old := p.original()
	short, long := p.list("short_factor"), p.list("long_factor")
	if p.err != nil {
		return
	}
	r.Original, r.Long = int(old), make([]float64, len(r.InvFreq))
	for i, f := range r.InvFreq {
		r.InvFreq[i], r.Long[i] = f/short[i], f/long[i]
	}
	factor := float64(p.m.MaxPositions) / old
	if p.values["factor"] != nil {
		factor = p.factor()
	}
	switch {
	case p.values["attention_factor"] != nil:
		r.Scale = p.needed("attention_factor")
	case factor > 1:
		r.Scale = math.Sqrt(1 + math.Log(factor)/math.Log(old))
	}
}

// list returns one number above 0 per frequency.
func (p *ropeParams) list(key string) []float64 {
	list, _ := p.values[key].([]any)
	if len(list) != p.dim/2 {
		p.fail("%s%s has %d entries for %d frequencies: %w", p.at, key, len(list), p.dim/2, ErrConfig)
		return nil
	}
	out := make([]float64, len(list))
	for i, v := range list {
		x, ok := finiteNumber(v)
		if !ok || !(x > 0) {
			p.wrong(fmt.Sprintf("%s%s[%d]", p.at, key, i), "a number above 0", v)
		}
		out[i] = x
	}
	return out
}

// sameOriginal reports whether the length outside the parameters is that inside.
func (c *reader) sameOriginal(v any) bool {
	for _, k := range []string{"rope_parameters", "rope_scaling"} {
		p, _ := c.values[k].(map[string]any)
		if inside, ok := p["original_max_position_embeddings"]; ok {
			return inside == v
		}
	}
	return false
}
