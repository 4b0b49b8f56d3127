import sys; sys.argv=[sys.argv[0],"0",sys.argv[2],sys.argv[1]]
exec(open("../sequences/gen.py").read())
import copy
n=int(sys.argv[3])
def strip(o):
    if isinstance(o,dict): return {k:strip(v) for k,v in o.items() if v is not None and k!="any"}
    if isinstance(o,list): return [strip(v) for v in o if v is not None]
    return o
def o(prev=None): 
    x=strip(obj("apply",prev))
    x.get("spec",{}).pop("bogus",None)
    for p in (x.get("spec") or {}).get("ports",[]): pass
    # unique merge keys
    sp=x.get("spec") or {}
    seen=set(); sp2=[]
    for p in sp.get("ports",[]):
        if p["port"] in seen: continue
        seen.add(p["port"]); sp2.append(p)
    if "ports" in sp: sp["ports"]=sp2
    return x
def rnd_patch(d=0):
    # direct patch with directives
    p=o()
    sp=p.get("spec")
    if sp is not None:
        if R.random()<.3: sp["num"]=None
        if R.random()<.2: sp["smap"]={"a":None,"z":"q"}
        if R.random()<.2: sp["nested"]={"$patch":R.choice(["replace","delete","replace"]),"b":"pp"}
        if R.random()<.3: sp["astruct"]={"$retainKeys":R.choice([["a"],["a","b"],["b"]]),"a":5}
        if R.random()<.3: sp["$deleteFromPrimitiveList/set"]=sset()
        if "$deleteFromPrimitiveList/set" in sp: sp.pop("set",None)
        if R.random()<.3: sp["$setElementOrder/set"]=sset()
        if R.random()<.3:
            kl=sp.setdefault("klist",[])
            kl.append({"name":R.choice(["k1","k2","k3"]),"$patch":"delete"})
            if R.random()<.2: kl.append({"$patch":"replace"})
        if R.random()<.3:
            ks=["k1","k2","k3","k4"]; R.shuffle(ks); sp["$setElementOrder/klist"]=[{"name":k} for k in ks[:R.randint(0,4)]]
        if R.random()<.1: sp["klist"]=None
        if R.random()<.05: sp["$patch"]="replace"
        if R.random()<.1: sp["smap2"]={"q":{"a":None,"b":"x"}}
    return p
def ptr(doc):
    path=""; cur=doc
    for _ in range(R.randint(1,4)):
        if isinstance(cur,dict):
            k=R.choice(list(cur)+["new","a~b/c"]); path+="/"+k.replace("~","~0").replace("/","~1"); cur=cur.get(k)
        elif isinstance(cur,list):
            k=R.choice(["-","0","1","-1","-2","9","x"]); path+="/"+k
            try: cur=cur[int(k)]
            except Exception: cur=None
        else: break
    return path
for i in range(n):
    r=R.random()
    a=o(); b=o(a); c=o(a)
    if r<.3: print(json.dumps({"op":"merge","a":a,"b":rnd_patch()}))
    elif r<.5: print(json.dumps({"op":"two","a":a,"b":b}))
    elif r<.65: print(json.dumps({"op":R.choice(["three","three","three-no"]),"a":a,"b":b,"c":c}))
    elif r<.75:
        print(json.dumps({"op":"rfc7386","a":a,"b":obj("update")}))
    elif r<.82: print(json.dumps({"op":"three-merge","a":a,"b":b,"c":c}))
    else:
        ops=[]
        for _ in range(R.randint(1,3)):
            k=R.choice(["add","remove","replace","move","copy","test","add","replace"])
            op={"op":k,"path":ptr(a)}
            if k in("move","copy"): op["from"]=ptr(a)
            if k in ("add","replace","test") and R.random()<.95:
                op["value"]=R.choice([1,"x",None,{"a":1},["p"],[],a.get("spec")])
            ops.append(op)
        print(json.dumps({"op":"json","a":a,"b":ops}))
