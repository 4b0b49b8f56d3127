import random, json, sys
n=int(sys.argv[1]); R=random.Random(int(sys.argv[2]))
def cpu(): return R.choice(["100m","250m","500m","1","2"])
def mem(): return R.choice(["64Mi","128Mi","512Mi","1Gi","2Gi"])
def img(): return R.choice(["nginx","nginx:1.2","reg.io/a/b","reg.io/a/b:v1","busybox@sha256:00"])
def labels(): 
    l={}
    if R.random()<.7: l["app"]=R.choice(["web","db","cache"])
    if R.random()<.4: l["tier"]=R.choice(["x","y"])
    return l
def sel():
    if R.random()<.5: return {"matchLabels":{"app":R.choice(["web","db","cache"])}}
    return {"matchExpressions":[{"key":R.choice(["app","tier"]),"operator":R.choice(["In","NotIn","Exists","DoesNotExist"]),**({})}]}
def fixsel(s):
    for e in s.get("matchExpressions",[]):
        if e["operator"] in("In","NotIn"): e["values"]=R.sample(["web","db","x","y"],R.randint(1,2))
    return s
def key(): return R.choice(["kubernetes.io/hostname","topology.kubernetes.io/zone","rack"])
def term():
    t={"topologyKey":key(),"labelSelector":fixsel(sel())}
    if R.random()<.2: t["namespaces"]=R.sample(["default","other"],R.randint(1,2))
    if R.random()<.15: t["namespaceSelector"]=R.choice([{}, {"matchLabels":{"team":"x"}}])
    return t
def affinity():
    a={}
    def side():
        d={}
        if R.random()<.5: d["requiredDuringSchedulingIgnoredDuringExecution"]=[term() for _ in range(R.randint(1,2))]
        if R.random()<.5: d["preferredDuringSchedulingIgnoredDuringExecution"]=[{"weight":R.randint(1,100),"podAffinityTerm":term()} for _ in range(R.randint(1,2))]
        return d
    if R.random()<.3: a["podAffinity"]=side()
    if R.random()<.3: a["podAntiAffinity"]=side()
    if R.random()<.3:
        d={}
        def nt():
            return {"matchExpressions":[R.choice([{"key":"disk","operator":"In","values":["ssd","hdd"]},{"key":"disk","operator":"NotIn","values":["ssd"]},{"key":"gen","operator":"Gt","values":["2"]},{"key":"rack","operator":"Exists"},{"key":"disk","operator":"DoesNotExist"}])]}
        if R.random()<.5: d["requiredDuringSchedulingIgnoredDuringExecution"]={"nodeSelectorTerms":[nt() for _ in range(R.randint(1,2))]}
        if R.random()<.6: d["preferredDuringSchedulingIgnoredDuringExecution"]=[{"weight":R.randint(1,100),"preference":nt()} for _ in range(R.randint(1,3))]
        a["nodeAffinity"]=d
    return a
def spread():
    out=[]; seen=set()
    for _ in range(R.randint(1,2)):
        k=key(); w=R.choice(["DoNotSchedule","ScheduleAnyway"])
        if (k,w) in seen: continue
        seen.add((k,w))
        c={"maxSkew":R.randint(1,3),"topologyKey":k,"whenUnsatisfiable":w,"labelSelector":fixsel(sel())}
        if R.random()<.3: c["nodeAffinityPolicy"]=R.choice(["Ignore","Honor"])
        if R.random()<.3: c["nodeTaintsPolicy"]=R.choice(["Ignore","Honor"])
        if w=="DoNotSchedule" and R.random()<.3: c["minDomains"]=R.randint(1,4)
        out.append(c)
    return out
def container(i):
    c={"name":"c%d"%i,"image":img()}
    r={}
    if R.random()<.7: r["cpu"]=cpu()
    if R.random()<.7: r["memory"]=mem()
    if R.random()<.15: r["ephemeral-storage"]=R.choice(["1Gi","5Gi"])
    if R.random()<.15: r["example.com/gpu"]=str(R.randint(1,2))
    if r: c["resources"]={"requests":r}
    if R.random()<.15: c["ports"]=[{"containerPort":80,"hostPort":R.choice([80,81]),"protocol":R.choice(["TCP","UDP"]),**({"hostIP":R.choice(["10.0.0.1","0.0.0.0"])} if R.random()<.4 else {})}]
    return c
def pod(name, node=None):
    s={"containers":[container(i) for i in range(R.randint(1,2))],"schedulerName":"default-scheduler"}
    if R.random()<.2: s["initContainers"]=[{**container(9),**({"restartPolicy":"Always"} if R.random()<.5 else {})}]
    if R.random()<.1: s["overhead"]={"cpu":"50m","memory":"16Mi"}
    if R.random()<.1: s["resources"]={"requests":{"cpu":cpu(),**({"memory":mem()} if R.random()<.5 else {})}}
    if R.random()<.4: s["affinity"]=affinity()
    if R.random()<.3: s["topologySpreadConstraints"]=spread()
    if R.random()<.3: s["tolerations"]=R.sample([{"key":"k","operator":"Exists"},{"key":"k","operator":"Equal","value":"v1","effect":"NoSchedule"},{"operator":"Exists","effect":"PreferNoSchedule"},{"operator":"Exists","effect":"NoExecute"},{"key":"node.kubernetes.io/unschedulable","operator":"Exists"}],R.randint(1,2))
    if R.random()<.15: s["nodeSelector"]={"disk":R.choice(["ssd","hdd"])}
    if node: s["nodeName"]=node
    m={"name":name,"namespace":R.choice(["default","default","other"]),"uid":"u-"+name,"labels":labels()}
    if R.random()<.5:
        m["ownerReferences"]=[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":R.choice(["rs-web","rs-db"]),"uid":"r","controller":True}]
    if node and R.random()<.1: m["deletionTimestamp"]="2026-01-01T00:00:00Z"; m["finalizers"]=["x/y"]
    return {"apiVersion":"v1","kind":"Pod","metadata":m,"spec":s}
for _ in range(n):
    objs=[]; nodes=[]
    for i in range(R.choice([1,2,3,5,8])):
        nm="n%d"%i; nodes.append(nm)
        l={"kubernetes.io/hostname":nm}
        if R.random()<.8: l["topology.kubernetes.io/zone"]=R.choice(["z1","z2","z3"])
        if R.random()<.6: l["rack"]=R.choice(["r1","r2"])
        if R.random()<.5: l["disk"]=R.choice(["ssd","hdd"])
        if R.random()<.5: l["gen"]=str(R.randint(1,4))
        al={"cpu":R.choice(["2","4","8"]),"memory":R.choice(["4Gi","8Gi"]),"pods":R.choice(["110","110","3"]),"ephemeral-storage":"20Gi"}
        if R.random()<.3: al["example.com/gpu"]="2"
        sp={}
        if R.random()<.3: sp["taints"]=R.sample([{"key":"k","value":"v1","effect":"NoSchedule"},{"key":"k","value":"v2","effect":"PreferNoSchedule"},{"key":"q","effect":"PreferNoSchedule"},{"key":"e","effect":"NoExecute"}],R.randint(1,2))
        if R.random()<.1: sp["unschedulable"]=True
        im=[{"names":[x],"sizeBytes":R.choice([10,100,500,2000])*1024*1024} for x in ("nginx:latest","nginx:1.2","reg.io/a/b:v1") if R.random()<.4]
        objs.append({"apiVersion":"v1","kind":"Node","metadata":{"name":nm,"labels":l},"spec":sp,"status":{"allocatable":al,"capacity":al,"images":im}})
    objs.append({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"default","labels":{"team":"x"}}})
    objs.append({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"other"}})
    if R.random()<.5: objs.append({"apiVersion":"v1","kind":"Service","metadata":{"name":"s","namespace":"default"},"spec":{"selector":{"app":R.choice(["web","db"])}}})
    for a in("web","db"):
        objs.append({"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"rs-"+a,"namespace":"default"},"spec":{"selector":{"matchLabels":{"app":a}}}})
    for i in range(R.randint(0,12)):
        objs.append(pod("p%d"%i,R.choice(nodes)))
    print(json.dumps({"objects":objs,"pod":pod("new")},separators=(',',':')))
