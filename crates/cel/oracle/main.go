// Evaluates expressions, one a line as a JSON string, with upstream's CEL environment of 1.37; prints a JSON object for each.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

type answer struct {
	Expr    string `json:"expr"`
	Refused string `json:"refused,omitempty"`
	Type    string `json:"type,omitempty"`
	Value   string `json:"value,omitempty"`
	Failed  string `json:"failed,omitempty"`
	Cost    uint64 `json:"cost"`
	Min     uint64 `json:"min"`
	Max     uint64 `json:"max"`
}

func show(v ref.Val) string {
	switch t := v.(type) {
	case types.Null:
		return "null"
	case types.Bool:
		return fmt.Sprint(bool(t))
	case types.Int:
		return fmt.Sprint(int64(t))
	case types.Uint:
		return fmt.Sprint(uint64(t)) + "u"
	case types.Double:
		return "d" + strconv.FormatFloat(float64(t), 'g', -1, 64)
	case types.String:
		b, _ := json.Marshal(string(t))
		return string(b)
	case types.Bytes:
		return fmt.Sprintf("b%x", []byte(t))
	case types.Duration, types.Timestamp:
		return fmt.Sprint(v.ConvertToType(types.StringType).Value())
	case *types.Optional:
		if t.HasValue() {
			return "some(" + show(t.GetValue()) + ")"
		}
		return "none"
	case traits.Lister:
		var out []string
		for i := types.Int(0); i < t.Size().(types.Int); i++ {
			out = append(out, show(t.Get(i)))
		}
		return "[" + strings.Join(out, ", ") + "]"
	case traits.Mapper:
		var out []string
		for it := t.Iterator(); it.HasNext() == types.True; {
			k := it.Next()
			out = append(out, show(k)+": "+show(t.Get(k)))
		}
		sort.Strings(out)
		return "{" + strings.Join(out, ", ") + "}"
	case *types.Type:
		return t.TypeName()
	default:
		return "<" + v.Type().TypeName() + ">"
	}
}

func main() {
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, 37)).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			cel.Variable("i", cel.IntType), cel.Variable("s", cel.StringType), cel.Variable("b", cel.BoolType),
			cel.Variable("l", cel.ListType(cel.IntType)), cel.Variable("ls", cel.ListType(cel.StringType)),
			cel.Variable("m", cel.MapType(cel.StringType, cel.StringType)), cel.Variable("d", cel.DynType),
		},
	})
	if err != nil {
		panic(err)
	}
	env, err := set.Env(environment.NewExpressions)
	if err != nil {
		panic(err)
	}
	vars := map[string]any{
		"i": int64(7), "s": "hello", "b": true, "l": []int64{3, 1, 2}, "ls": []string{"a", "b", "c"},
		"m": map[string]string{"k": "v", "x": "y"},
		"d": map[string]any{"a": map[string]any{"b": int64(1)}, "l": []any{int64(1), "two", 3.0}, "s": "text", "n": nil, "t": true},
	}
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for in.Scan() {
		var a answer
		if err := json.Unmarshal(in.Bytes(), &a.Expr); err != nil {
			panic(err)
		}
		ast, issues := env.Compile(a.Expr)
		if issues != nil {
			a.Refused = issues.String()
		} else if prog, err := env.Program(ast); err != nil {
			a.Refused = "program: " + err.Error()
		} else {
			a.Type = checker.FormatCELType(ast.OutputType())
			est, err := env.EstimateCost(ast, &library.CostEstimator{})
			if err != nil {
				panic(err)
			}
			a.Min, a.Max = est.Min, est.Max
			v, details, err := prog.Eval(vars)
			if err != nil {
				a.Failed = err.Error()
			} else {
				a.Value = show(v)
			}
			if details != nil && details.ActualCost() != nil {
				a.Cost = *details.ActualCost()
			}
		}
		out.Encode(a)
	}
}
