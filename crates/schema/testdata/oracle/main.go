package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	net "k8s.io/api/networking/v1"
	coord "k8s.io/api/coordination/v1"
	rbac "k8s.io/api/rbac/v1"
	crd "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

func obj(k string) interface{} {
	switch k {
	case "Pod": return &core.Pod{}
	case "Service": return &core.Service{}
	case "Secret": return &core.Secret{}
	case "ConfigMap": return &core.ConfigMap{}
	case "Deployment": return &apps.Deployment{}
	case "StatefulSet": return &apps.StatefulSet{}
	case "Job": return &batch.Job{}
	case "Ingress": return &net.Ingress{}
	case "Lease": return &coord.Lease{}
	case "Role": return &rbac.Role{}
	case "Node": return &core.Node{}
	case "CustomResourceDefinition": return &crd.CustomResourceDefinition{}
	case "DeleteOptions": return &metav1.DeleteOptions{}
	}
	return nil
}

func run(cmd, in string) string {
	c := strings.Split(cmd, " ")
	switch c[0] {
	case "quantity":
		q, err := resource.ParseQuantity(in)
		if err != nil { return "E " + err.Error() }
		return q.String()
	case "yaml2json":
		b, err := yaml.YAMLToJSON([]byte(in))
		if err != nil { return "E " + err.Error() }
		return string(b)
	case "yamlstrict":
		b, err := yaml.YAMLToJSONStrict([]byte(in))
		if err != nil { return "E " + err.Error() }
		return string(b)
	case "json2yaml":
		b, err := yaml.JSONToYAML([]byte(in))
		if err != nil { return "E " + err.Error() }
		return string(b)
	case "labels":
		s, err := labels.Parse(in)
		if err != nil { return "E " + err.Error() }
		return s.String()
	case "fields":
		s, err := fields.ParseSelector(in)
		if err != nil { return "E " + err.Error() }
		return s.String()
	case "decode":
		o := obj(c[1])
		strict, err := kjson.UnmarshalStrict([]byte(in), o)
		if err != nil { return "E " + err.Error() }
		b, err := json.Marshal(o)
		if err != nil { return "E marshal " + err.Error() }
		out := string(b)
		for _, s := range strict { out += "\nS " + s.Error() }
		p, err := o.(interface{ Marshal() ([]byte, error) }).Marshal()
		if err != nil { return "E proto " + err.Error() }
		return out + "\nP " + base64.StdEncoding.EncodeToString(p)
	case "proto":
		o := obj(c[1])
		raw, _ := base64.StdEncoding.DecodeString(in)
		if err := o.(interface{ Unmarshal([]byte) error }).Unmarshal(raw); err != nil { return "E " + err.Error() }
		b, err := json.Marshal(o)
		if err != nil { return "E marshal " + err.Error() }
		return string(b)
	case "untyped":
		m := map[string]interface{}{}
		strict, err := kjson.UnmarshalStrict([]byte(in), &m)
		if err != nil { return "E " + err.Error() }
		b, _ := json.Marshal(m)
		out := string(b)
		for _, s := range strict { out += "\nS " + s.Error() }
		return out
	}
	return "E ?"
}

var _ = runtime.Unknown{}

func main() {
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<24), 1<<24)
	for sc.Scan() {
		cmd, in, _ := strings.Cut(sc.Text(), "\t")
		b, _ := base64.StdEncoding.DecodeString(in)
		fmt.Println(base64.StdEncoding.EncodeToString([]byte(run(cmd, string(b)))))
	}
}
