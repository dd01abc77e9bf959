// Checks files of Prometheus rules with Prometheus' own parser: what `promtool check rules` does, without the rest of promtool.
package main

import (
	"fmt"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
)

func main() {
	failed := false
	for _, file := range os.Args[1:] {
		_, errors := rulefmt.ParseFile(file, false, model.UTF8Validation)
		for _, err := range errors {
			failed = true
			fmt.Fprintf(os.Stderr, "%s: %v\n", file, err)
		}
	}
	if failed {
		os.Exit(1)
	}
}
