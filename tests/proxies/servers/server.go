// Go's own server: server PORT LOG. One line of JSON for each request that it reads; the last part of a target says what it does.
package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

type line struct {
	Method        string `json:"method"`
	Target        string `json:"target"`
	Authorization string `json:"authorization"`
	Content       string `json:"content"`
}

func main() {
	log, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	serve := func(answer http.ResponseWriter, request *http.Request) {
		kind := request.URL.Path[strings.LastIndex(request.URL.Path, "/")+1:]
		content := []byte{}
		if !strings.HasPrefix(kind, "early") {
			if content, err = io.ReadAll(request.Body); err != nil {
				return // the sender has gone
			}
		}
		authorization := strings.Join(request.Header.Values("Authorization"), ",")
		noted, _ := json.Marshal(line{request.Method, request.RequestURI, authorization, string(content)})
		lock.Lock()
		log.Write(append(noted, '\n'))
		lock.Unlock()
		own := strings.TrimPrefix(authorization, "Bearer ") + " " + request.RequestURI
		answer.Header().Set("X-Owner", own)
		switch kind {
		case "nocontent":
			answer.WriteHeader(http.StatusNoContent)
			return
		case "notmodified":
			answer.WriteHeader(http.StatusNotModified)
			return
		case "close", "earlyclose":
			answer.Header().Set("Connection", "close")
		case "hints":
			answer.WriteHeader(http.StatusEarlyHints)
		}
		if kind != "chunked" {
			answer.Header().Set("Content-Length", strconv.Itoa(len(own)))
		}
		io.WriteString(answer, own[:3])
		if flusher, can := answer.(http.Flusher); can {
			flusher.Flush()
		}
		io.WriteString(answer, own[3:])
	}
	// A ServeMux would answer a path that it cleans by a redirect.
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(serve)))
}
