package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

type conv struct{ p *typed.Parser }

func (c conv) ObjectToTyped(o runtime.Object, opts ...typed.ValidationOptions) (*typed.TypedValue, error) {
	return c.p.Type("root").FromUnstructured(o.(*unstructured.Unstructured).Object, opts...)
}
func (c conv) TypedToObject(v *typed.TypedValue) (runtime.Object, error) {
	return &unstructured.Unstructured{Object: v.AsValue().Unstructured().(map[string]interface{})}, nil
}

type fake struct{}

func (fake) Convert(in, out, ctx interface{}) error { panic("no") }
func (fake) ConvertToVersion(in runtime.Object, gv runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}
func (fake) ConvertFieldLabel(gvk schema.GroupVersionKind, l, v string) (string, string, error) {
	panic("no")
}
func (fake) Default(runtime.Object) {}
func (fake) New(k schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: map[string]interface{}{}}
	return u, nil
}

type step struct {
	Op      string                 `json:"op"`
	Manager string                 `json:"manager"`
	Sub     string                 `json:"sub"`
	Force   bool                   `json:"force"`
	Object  map[string]interface{} `json:"object"`
}
type kase struct {
	Steps []step `json:"steps"`
}
type result struct {
	Error  string                 `json:"error,omitempty"`
	Object map[string]interface{} `json:"object,omitempty"`
}

func fix(v interface{}) interface{} {
	switch t := v.(type) {
	case map[string]interface{}:
		for k := range t {
			t[k] = fix(t[k])
		}
		return t
	case []interface{}:
		for i := range t {
			t[i] = fix(t[i])
		}
		return t
	case float64:
		if t == float64(int64(t)) {
			return int64(t)
		}
		return t
	}
	return v
}

func main() {
	sch, _ := os.ReadFile(os.Args[1])
	p, err := typed.NewParser(typed.YAMLObject(sch))
	if err != nil {
		panic(err)
	}
	gvk := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Root"}
	mk := func(sub string) *managedfields.FieldManager {
		var reset map[fieldpath.APIVersion]fieldpath.Filter
		if sub == "" {
			reset = map[fieldpath.APIVersion]fieldpath.Filter{"example.com/v1": fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))}
		}
		m, err := managedfields.NewDefaultCRDFieldManager(conv{p}, fake{}, fake{}, fake{}, gvk, gvk.GroupVersion(), sub, reset)
		if err != nil {
			panic(err)
		}
		return m
	}
	fms := map[string]*managedfields.FieldManager{"": mk(""), "status": mk("status")}
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<24)
	out := json.NewEncoder(os.Stdout)
	for sc.Scan() {
		var k kase
		if err := json.Unmarshal(sc.Bytes(), &k); err != nil {
			panic(err)
		}
		var live *unstructured.Unstructured
		var results []result
		for _, s := range k.Steps {
			obj := fix(s.Object).(map[string]interface{})
			u := &unstructured.Unstructured{Object: obj}
			fm := fms[s.Sub]
			var l runtime.Object
			if live == nil {
				l, _ = fake{}.New(gvk)
			} else {
				l = live.DeepCopy()
			}
			var res runtime.Object
			var err error
			if s.Op == "apply" {
				res, err = fm.Apply(l, u, s.Manager, s.Force)
			} else {
				if live != nil {
					u.SetUID(live.GetUID())
					u.SetManagedFields(live.GetManagedFields())
				}
				res, err = fm.Update(l, u, s.Manager)
			}
			if err != nil {
				text := err.Error()
				if st, ok := err.(*errors.StatusError); ok && st.ErrStatus.Reason == metav1.StatusReasonConflict {
					n := []string{}
					for _, c := range st.ErrStatus.Details.Causes {
						n = append(n, c.Message+" "+c.Field)
					}
					text = "conflict: " + strings.Join(n, "|")
				} else {
					text = "error: " + text
				}
				results = append(results, result{Error: text})
				continue
			}
			r := res.(*unstructured.Unstructured)
			r.SetUID("u")
			live = r.DeepCopy()
			results = append(results, result{Object: r.DeepCopy().Object})
		}
		if err := out.Encode(results); err != nil {
			panic(err)
		}
	}
	fmt.Fprintln(os.Stderr, "done")
}
