package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sort"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
)

type kase struct {
	Objects []json.RawMessage `json:"objects"`
	Pod     json.RawMessage   `json:"pod"`
}

func main() {
	ctx := context.Background()
	metrics.Register()
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(make([]byte, 1<<20), 1<<26)
	out := json.NewEncoder(os.Stdout)
	cfg, err := latest.Default()
	if err != nil {
		panic(err)
	}
	mp := &cfg.Profiles[0].Plugins.MultiPoint
	for i := range mp.Enabled {
		if mp.Enabled[i].Name == "DynamicResources" {
			mp.Enabled = append(mp.Enabled[:i], mp.Enabled[i+1:]...)
			break
		}
	}
	for sc.Scan() {
		var k kase
		if err := json.Unmarshal(sc.Bytes(), &k); err != nil {
			panic(err)
		}
		dec := func(b []byte) runtime.Object {
			o, _, err := scheme.Codecs.UniversalDeserializer().Decode(b, nil, nil)
			if err != nil {
				panic(err)
			}
			return o
		}
		var objs []runtime.Object
		var nodes []*v1.Node
		var pods []*v1.Pod
		for _, b := range k.Objects {
			o := dec(b)
			objs = append(objs, o)
			switch t := o.(type) {
			case *v1.Node:
				nodes = append(nodes, t)
			case *v1.Pod:
				pods = append(pods, t)
			}
		}
		pod := dec(k.Pod).(*v1.Pod)
		objs = append(objs, pod)
		client := fake.NewClientset(objs...)
		inf := informers.NewSharedInformerFactory(client, 0)
		snap := cache.NewSnapshot(pods, nodes)
		f, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), &cfg.Profiles[0],
			frameworkruntime.WithSnapshotSharedLister(snap),
			frameworkruntime.WithInformerFactory(inf),
			frameworkruntime.WithClientSet(client),
			frameworkruntime.WithPodNominator(nil),
		)
		if err != nil {
			panic(err)
		}
		inf.Start(ctx.Done())
		inf.WaitForCacheSync(ctx.Done())
		state := framework.NewCycleState()
		res := map[string]interface{}{}
		pre, st, _ := f.RunPreFilterPlugins(ctx, state, pod)
		if !st.IsSuccess() {
			res["prefilter"] = st.Message()
			out.Encode(res)
			continue
		}
		all, _ := snap.NodeInfos().List()
		filter := map[string]interface{}{}
		var ok []fwk.NodeInfo
		for _, n := range all {
			if !pre.AllNodes() && !pre.NodeNames.Has(n.Node().Name) {
				filter[n.Node().Name] = []string{"not named"}
				continue
			}
			s := f.RunFilterPlugins(ctx, state, pod, n)
			if s.IsSuccess() {
				ok = append(ok, n)
				continue
			}
			r := s.Reasons()
			sort.Strings(r)
			filter[n.Node().Name] = append(r, s.Code().String())
		}
		res["filter"] = filter
		if len(ok) > 0 {
			if s := f.RunPreScorePlugins(ctx, state, pod, ok); !s.IsSuccess() {
				panic(s.Message())
			}
			sc, s := f.RunScorePlugins(ctx, state, pod, ok)
			if !s.IsSuccess() {
				panic(s.Message())
			}
			scores := map[string]map[string]int64{}
			for _, n := range sc {
				m := map[string]int64{"total": n.TotalScore}
				for _, p := range n.Scores {
					m[p.Name] = p.Score
				}
				scores[n.Name] = m
			}
			res["scores"] = scores
		}
		out.Encode(res)
	}
	fmt.Fprintln(os.Stderr, "done")
}
