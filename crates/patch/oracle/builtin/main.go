package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	ac "k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

type fake struct{}

func (fake) Convert(in, out, ctx interface{}) error { panic("no") }
func (fake) ConvertToVersion(in runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}
func (fake) ConvertFieldLabel(gvk schema.GroupVersionKind, l, v string) (string, string, error) {
	panic("no")
}
func (fake) Default(runtime.Object) {}

func main() {
	tc := ac.NewTypeConverter(scheme.Scheme)
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	for sc.Scan() {
		// one JSON object a line: {"old": object or null, "new": object}
		var in struct{ Old, New json.RawMessage }
		if err := json.Unmarshal(sc.Bytes(), &in); err != nil {
			panic(err)
		}
		dec := func(b []byte) (runtime.Object, *schema.GroupVersionKind) {
			o, gvk, err := scheme.Codecs.UniversalDeserializer().Decode(b, nil, nil)
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return nil, nil
			}
			o.GetObjectKind().SetGroupVersionKind(*gvk)
			return o, gvk
		}
		n, gvk := dec(in.New)
		if n == nil {
			out.Encode(nil)
			continue
		}
		var o runtime.Object
		if len(in.Old) > 0 && string(in.Old) != "null" {
			o, _ = dec(in.Old)
		} else {
			o, _ = scheme.Scheme.New(*gvk)
			o.GetObjectKind().SetGroupVersionKind(*gvk)
		}
		fm, err := managedfields.NewDefaultFieldManager(tc, fake{}, fake{}, scheme.Scheme, *gvk, gvk.GroupVersion(), "", map[fieldpath.APIVersion]fieldpath.Filter{})
		if err != nil {
			panic(err)
		}
		a, aerr := meta.Accessor(n)
		if aerr != nil || o == nil {
			out.Encode(nil)
			continue
		}
		a.SetManagedFields(nil)
		oa, _ := meta.Accessor(o)
		oa.SetManagedFields(nil)
		oa.SetUID("")
		r, err := fm.Update(o, n, "m")
		if err != nil {
			out.Encode("error: " + err.Error())
			continue
		}
		ra, _ := meta.Accessor(r)
		if len(ra.GetManagedFields()) == 0 {
			out.Encode(map[string]interface{}{})
			continue
		}
		out.Encode(json.RawMessage(ra.GetManagedFields()[0].FieldsV1.GetRawBytes()))
	}
}
