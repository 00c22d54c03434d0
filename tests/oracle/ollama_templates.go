// Renders chats with Go's text/template as Ollama does and compares with the texts that came along.
//
// Run: go run ollama_templates.go CASES.json, a list of {name, template, messages, tools, expected}. Exit status 0: all the same;
// 1: a difference, shown. Called by tests/text/test_rows_oracle.c.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

// The values that Ollama hands a template, as far as templates of fettle's look into them.
type toolCall struct {
	Function struct {
		Name      string
		Arguments map[string]any
	}
}

type message struct {
	Role      string     `json:"role"`
	Content   string     `json:"content"`
	ToolCalls []toolCall `json:"tool_calls"`
}

// A type of a property is a list for Ollama, of which one alone is spelled as itself.
type propertyType []string

func (t *propertyType) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = propertyType{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func (t propertyType) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

type tool struct {
	Type     string
	Function struct {
		Name, Description string
		Parameters        struct {
			Type       string
			Required   []string
			Properties map[string]struct {
				Type        propertyType
				Description string
				Enum        []any
			}
		}
	}
}

type testCase struct {
	Name, Template, Expected string
	Messages                 []*message
	Tools                    []tool
}

// The one function of Ollama's own that fettle's templates use.
var functions = template.FuncMap{"json": func(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}}

func render(c testCase) (string, error) {
	t, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(c.Template)
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
	err = t.Execute(&b, map[string]any{"System": system, "Messages": c.Messages, "Tools": c.Tools, "Response": ""})
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
