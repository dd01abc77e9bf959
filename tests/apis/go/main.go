// An API in Go behind httputil.ReverseProxy, with two WebSocket libraries that compare Origin with Host. Arguments: two ports.
package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
)

func main() {
	front, back := os.Args[1], os.Args[2]
	mux := http.NewServeMux()
	mux.HandleFunc("/v2/tree/", func(w http.ResponseWriter, r *http.Request) { // without the slash the mux redirects
		w.Write([]byte(r.Host + r.URL.Path))
	})
	mux.HandleFunc("/v2/found", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "tree/", http.StatusFound)
	})
	mux.HandleFunc("/v2/gorilla", echoByGorilla)
	mux.HandleFunc("/v2/coder", echoByCoder)
	go http.ListenAndServe("127.0.0.1:"+back, mux)
	target, _ := url.Parse("http://127.0.0.1:" + back)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	http.ListenAndServe("127.0.0.1:"+front, proxy)
}

func echoByGorilla(w http.ResponseWriter, r *http.Request) {
	upgrader := gorilla.Upgrader{}
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer socket.Close()
	for {
		kind, message, err := socket.ReadMessage()
		if err != nil || socket.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func echoByCoder(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer socket.CloseNow()
	for {
		kind, message, err := socket.Read(r.Context())
		if err != nil || socket.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}
