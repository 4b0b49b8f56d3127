import random, json, sys
n=int(sys.argv[1]); seed=int(sys.argv[2]); R=random.Random(seed)
LA="kubectl.kubernetes.io/last-applied-configuration"
def num(): return R.choice([0,1,2,3,10])
def s(): return R.choice(["","x","y","z","a<b"])
def mapof(f,p=0.5,allow_empty=True):
    m={k:f() for k in "abc" if R.random()<p}
    return m
def nested():
    m={}
    if R.random()<.6: m["a"]=num()
    if R.random()<.6: m["b"]=s()
    if R.random()<.3: m["c"]=astruct()
    return m
def astruct():
    m={}
    if R.random()<.6: m["a"]=num()
    if R.random()<.6: m["b"]=s()
    return m
def item(k):
    m={"name":k}
    if R.random()<.5: m["val"]=num()
    if R.random()<.4: m["sub"]=nested()
    if R.random()<.4: m["tags"]=sset()
    return m
def sset(dup=False):
    l=[x for x in ["p","q","r","s"] if R.random()<.5]
    R.shuffle(l)
    if dup and l and R.random()<.15: l.append(R.choice(l))
    return l
def klist(dup=False):
    ks=[x for x in ["k1","k2","k3","k4"] if R.random()<.5]; R.shuffle(ks)
    if dup and ks and R.random()<.15: ks.append(R.choice(ks))
    return [item(k) for k in ks]
def ports(dup=False):
    ps=[]
    for p in (80,443,8080):
        for pr in ("TCP","UDP",None):
            if R.random()<.25:
                m={"port":p}
                if pr: m["proto"]=pr
                if R.random()<.5: m["name"]=s()
                ps.append(m)
    R.shuffle(ps)
    seen=set(); out=[]
    for m in ps:
        k=(m["port"],m.get("proto","TCP"))
        if k in seen and not (dup and R.random()<.2): continue
        seen.add(k); out.append(m)
    return out
def anyv(d=0):
    r=R.random()
    if r<.5 and d<3: return {k:anyv(d+1) for k in "uvw" if R.random()<.6}
    if r<.6: return [num()]
    if r<.7: return None
    if r<.85: return s()
    return num()
def spec(dup,p):
    f={"num":num,"str":s,"nested":nested,"smap":lambda:mapof(s),"amap":lambda:mapof(s),"set":lambda:sset(dup),"alist":lambda:[nested() for _ in range(R.randint(0,2))],"klist":lambda:klist(dup),"ports":lambda:ports(dup),"astruct":astruct,"any":anyv,"smap2":lambda:mapof(nested)}
    return {k:(None if R.random()<.02 else g()) for k,g in f.items() if R.random()<p},f
def obj(op,prev=None):
    dup = op=="update" or R.random()<.03
    m={"name":"n"}
    if R.random()<.4: m["labels"]=mapof(s)
    if R.random()<.2: m["annotations"]=mapof(s)
    o={"apiVersion":"example.com/v1","kind":"Root","metadata":m}
    if prev is not None and R.random()<.8:
        o=json.loads(json.dumps(prev)); o["metadata"]=m if R.random()<.2 else o["metadata"]
        sp=o.setdefault("spec",{}) or {}
        new,f=spec(dup,0.25)
        for k in list(sp):
            if R.random()<.1: del sp[k]
        sp.update(new); o["spec"]=sp
    else:
        if R.random()<.9: o["spec"]=spec(dup,0.4)[0]
    if R.random()<.2:
        o["status"]={"num":num(),"conds":klist(dup)}
    if op=="apply" and R.random()<.02: o["spec"]={"bogus":1}
    return o
for _ in range(n):
    steps=[]; prev={}
    k=R.choice([2,3,4,6]) if R.random()<.95 else 16
    for i in range(k):
        op=R.choice(["apply","update"])
        if i==0 and R.random()<.5: op="update"
        mgr=R.choice(["m1","m2","kubectl","m3"]) if k<16 else "u%d"%i
        key=(op,mgr) if op=="apply" else "u"
        o=obj(op,prev.get(key))
        if op=="update" and mgr=="kubectl" and R.random()<.5:
            base=json.loads(json.dumps(o)); 
            o["metadata"].setdefault("annotations",{})[LA]=json.dumps(base)
        prev[key]=json.loads(json.dumps(o))
        steps.append({"op":op,"manager":mgr,"sub":"status" if R.random()<.15 else "","force":R.random()<.4,"object":o})
    print(json.dumps({"steps":steps}))
