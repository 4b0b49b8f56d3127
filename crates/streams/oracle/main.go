// Upstream's own ends of remote commands and port forwarding, for the tests of the crate `streams` to talk to.
//
//	oracle server                 serves on a loopback port (printed), until stdin ends:
//	                              /spdy/...  as a container runtime does (cri-streaming)
//	                              /ws/...    as an API server does: WebSocket v5 and tunnels, translated to /spdy/
//	oracle exec ws|spdy URL       client-go's executor on its stdin, stdout, stderr; prints what became of it
//	oracle attach-tty ws|spdy URL the same with a terminal of 80x24
//	oracle forward ws|spdy URL    forwards one connection to port 80, which carries stdin there and stdout back
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	clientspdy "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"
	criportforward "k8s.io/cri-streaming/pkg/streaming/portforward"
	criremote "k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

type exitError int

func (e exitError) Error() string   { return fmt.Sprintf("exit %d", int(e)) }
func (e exitError) String() string  { return e.Error() }
func (e exitError) Exited() bool    { return true }
func (e exitError) ExitStatus() int { return int(e) }

type container struct{}

// Commands: "echo": stdin to stdout, a word on stderr; "exit": code 42; "fail": an error that is no code;
// "size": the first size of the terminal; "flood": a million bytes on each output.
func (container) ExecInContainer(ctx context.Context, _, _, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan criremote.TerminalSize, _ time.Duration) error {
	switch cmd[0] {
	case "echo":
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		if errOut != nil {
			fmt.Fprint(errOut, "on stderr")
		}
		return nil
	case "exit":
		return exitError(42)
	case "fail":
		return errors.New("it failed")
	case "size":
		s := <-resize
		fmt.Fprintf(out, "%dx%d", s.Width, s.Height)
		return nil
	case "flood":
		var wg sync.WaitGroup
		for _, w := range []io.Writer{out, errOut} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, _ = w.Write(bytes.Repeat([]byte("x"), 1_000_000))
			}()
		}
		wg.Wait()
		return nil
	}
	return fmt.Errorf("no command %q", cmd[0])
}

func (container) PortForward(_ context.Context, _, _ string, port int32, s io.ReadWriteCloser) error {
	if port != 80 {
		return fmt.Errorf("nobody listens on %d", port)
	}
	all, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	_, err = s.Write(bytes.ToUpper(all))
	return err
}

func runtimeSide(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/portforward") {
		opts, err := criportforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		criportforward.ServePortForward(w, r, container{}, "pod", "uid", opts, time.Minute, time.Minute, []string{criportforward.ProtocolV1Name})
		return
	}
	opts, err := criremote.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	protocols := []string{criremote.StreamProtocolV4Name, criremote.StreamProtocolV3Name, criremote.StreamProtocolV2Name}
	if p := r.URL.Query().Get("only"); p != "" {
		protocols = []string{p}
	}
	criremote.ServeExec(w, r, container{}, "pod", "uid", "c", r.URL.Query()["command"], opts, time.Minute, time.Minute, protocols)
}

type responder struct{}

func (responder) Error(w http.ResponseWriter, _ *http.Request, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

func server() {
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	mux.HandleFunc("/spdy/", runtimeSide)
	mux.HandleFunc("/ws/", func(w http.ResponseWriter, r *http.Request) {
		to, _ := url.Parse(s.URL + "/spdy/" + strings.TrimPrefix(r.URL.Path, "/ws/") + "?" + r.URL.RawQuery)
		pass := utilproxy.NewUpgradeAwareHandler(to, nil, false, true, responder{})
		var h http.Handler = pass
		q := r.URL.Query()
		on := func(k string) bool { return q.Get(k) == "1" }
		switch {
		case wsstream.IsWebSocketRequestWithTunnelingProtocol(r):
			h = proxy.NewTunnelingHandler(pass)
		case wsstream.IsWebSocketRequestWithStreamCloseProtocol(r):
			h = proxy.NewStreamTranslatorHandler(to, nil, 0, proxy.Options{Stdin: on("input"), Stdout: on("output"), Stderr: on("error"), Tty: on("tty")})
		}
		h.ServeHTTP(w, r)
	})
	fmt.Println(strings.TrimPrefix(s.URL, "http://"))
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type oneSize struct{ sent bool }

func (o *oneSize) Next() *remotecommand.TerminalSize {
	if o.sent {
		return nil
	}
	o.sent = true
	return &remotecommand.TerminalSize{Width: 80, Height: 24}
}

func run(kind, to string, tty bool) error {
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	config := &rest.Config{Host: u.Scheme + "://" + u.Host}
	var e remotecommand.Executor
	if kind == "ws" {
		e, err = remotecommand.NewWebSocketExecutor(config, "GET", to)
	} else {
		e, err = remotecommand.NewSPDYExecutor(config, "POST", u)
	}
	if err != nil {
		return err
	}
	o := remotecommand.StreamOptions{Stdout: os.Stdout, Tty: tty}
	q := u.Query()
	if q.Get("input") == "1" {
		o.Stdin = os.Stdin
	}
	if !tty {
		o.Stderr = os.Stderr
	} else {
		o.TerminalSizeQueue = &oneSize{}
	}
	return e.StreamWithContext(context.Background(), o)
}

func forward(kind, to string) error {
	u, err := url.Parse(to)
	if err != nil {
		return err
	}
	config := &rest.Config{Host: u.Scheme + "://" + u.Host}
	stop, ready := make(chan struct{}), make(chan struct{})
	var pf *portforward.PortForwarder
	errOut := &bytes.Buffer{}
	if kind == "ws" {
		d, err := portforward.NewSPDYOverWebsocketDialerForStreaming(u, config)
		if err != nil {
			return err
		}
		pf, err = portforward.NewOnAddressesForStreaming(d, []string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, errOut)
		if err != nil {
			return err
		}
	} else {
		t, up, err := clientspdy.RoundTripperFor(config)
		if err != nil {
			return err
		}
		d := clientspdy.NewDialer(up, &http.Client{Transport: t}, "POST", u)
		pf, err = portforward.New(d, []string{"0:80"}, stop, ready, io.Discard, errOut)
		if err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- pf.ForwardPorts() }()
	select {
	case err := <-done:
		return err
	case <-ready:
	}
	ports, err := pf.GetPorts()
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		return err
	}
	if _, err = io.Copy(c, os.Stdin); err != nil {
		return err
	}
	if err = c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	if _, err = io.Copy(os.Stdout, c); err != nil {
		return err
	}
	close(stop)
	return <-done
}

func main() {
	var err error
	switch a := os.Args[1:]; a[0] {
	case "server":
		server()
	case "exec":
		err = run(a[1], a[2], false)
	case "attach-tty":
		err = run(a[1], a[2], true)
	case "forward":
		err = forward(a[1], a[2])
	}
	var exit exec.CodeExitError
	if errors.As(err, &exit) {
		os.Exit(exit.Code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(125)
	}
}
