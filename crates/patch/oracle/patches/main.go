package main

import (
	"bufio"
	"encoding/json"
	"os"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

type AStruct struct {
	A int    `json:"a"`
	B string `json:"b"`
}
type Nested struct {
	A int     `json:"a"`
	B string  `json:"b"`
	C AStruct `json:"c"`
}
type Item struct {
	Name string   `json:"name"`
	Val  int      `json:"val"`
	Sub  Nested   `json:"sub"`
	Tags []string `json:"tags" patchStrategy:"merge"`
}
type Port struct {
	Port  int    `json:"port"`
	Proto string `json:"proto"`
	Name  string `json:"name"`
}
type Spec struct {
	Num     int               `json:"num"`
	Str     string            `json:"str"`
	Nested  Nested            `json:"nested"`
	Smap    map[string]string `json:"smap"`
	Amap    map[string]string `json:"amap"`
	Set     []string          `json:"set" patchStrategy:"merge"`
	Alist   []Nested          `json:"alist"`
	Klist   []Item            `json:"klist" patchStrategy:"merge" patchMergeKey:"name"`
	Ports   []Port            `json:"ports" patchStrategy:"merge" patchMergeKey:"port"`
	AStruct AStruct           `json:"astruct" patchStrategy:"retainKeys"`
	Smap2   map[string]Nested `json:"smap2"`
}
type Meta struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}
type Status struct {
	Num   int    `json:"num"`
	Conds []Item `json:"conds"`
}
type Root struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   Meta   `json:"metadata"`
	Spec       Spec   `json:"spec"`
	Status     Status `json:"status"`
}

func main() {
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for sc.Scan() {
		var in map[string]json.RawMessage
		json.Unmarshal(sc.Bytes(), &in)
		var op string
		json.Unmarshal(in["op"], &op)
		var b []byte
		var err error
		switch op {
		case "merge":
			b, err = strategicpatch.StrategicMergePatch(in["a"], in["b"], Root{})
		case "two":
			b, err = strategicpatch.CreateTwoWayMergePatch(in["a"], in["b"], Root{})
		case "three", "three-no":
			m, _ := strategicpatch.NewPatchMetaFromStruct(Root{})
			b, err = strategicpatch.CreateThreeWayMergePatch(in["a"], in["b"], in["c"], m, op == "three")
		case "json":
			var p jsonpatch.Patch
			p, err = jsonpatch.DecodePatch(in["b"])
			if err == nil {
				b, err = p.Apply(in["a"])
			}
		case "rfc7386":
			b, err = jsonpatch.MergePatch(in["a"], in["b"])
		case "three-merge":
			b, err = jsonmergepatch.CreateThreeWayJSONMergePatch(in["a"], in["b"], in["c"])
		}
		r := map[string]interface{}{}
		if err != nil {
			r["error"] = err.Error()
		} else {
			r["ok"] = json.RawMessage(b)
		}
		for k, v := range in {
			r[k] = v
		}
		out.Encode(r)
	}
}
