// Renders chats with Go's text/template as Ollama does and compares with the texts that came along.
//
// Run: go run ollama_templates.go CASES.json, a list of {name, template, messages, expected}. Exit status 0: all the same;
// 1: a difference, shown. Called by tests/text/test_rows_oracle.c.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type testCase struct {
	Name, Template, Expected string
	Messages                 []*message
}

func render(c testCase) (string, error) {
	t, err := template.New("").Option("missingkey=zero").Parse(c.Template)
	if err != nil {
		return "", err
	}
	system := ""
	for _, m := range c.Messages {
		if m.Role == "system" {
			system = m.Content
		}
	}
	var b strings.Builder
	err = t.Execute(&b, map[string]any{"System": system, "Messages": c.Messages, "Response": ""})
	return b.String(), err
}

func main() {
	var cases []testCase
	text, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = json.Unmarshal(text, &cases)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	bad := 0
	for _, c := range cases {
		if got, err := render(c); err != nil || got != c.Expected {
			bad++
			fmt.Printf("%s: %v\n  ollama %q\n  fettle %q\n", c.Name, err, got, c.Expected)
		}
	}
	fmt.Printf("%d of %d texts are the same\n", len(cases)-bad, len(cases))
	if bad > 0 {
		os.Exit(1)
	}
}
