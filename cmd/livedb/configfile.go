package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// configFile makes kong read the YAML file that the flag --config names, between the environment and the defaults. Give it
// to kong.New beside kong.DefaultEnvars. The grammar's root needs a string flag named config.
//
// The file's keys are flag names; a section named as a command holds what is for that command only:
//
//	source: postgres://livedb@db.example.com/shop
//	kafka: [a.example.com:9092, b.example.com:9092]
//	burst:
//	  rate: 100
func configFile() kong.Option {
	return kong.WithBeforeResolve(func(k *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
		if trace.App == nil {
			return nil // kong calls a hook once for each part of the command line, first for the whole
		}
		file, err := openConfig(k, ctx)
		if err != nil || file == nil {
			return err
		}
		if err := file.Validate(k.Model); err != nil {
			return err // before kong blames a flag for what is wrong in the file
		}
		ctx.AddResolver(file)
		return nil
	})
}

// openConfig reads the file that --config names; nil if it names none.
func openConfig(k *kong.Kong, ctx *kong.Context) (*configuration, error) {
	for _, flag := range k.Model.Flags {
		if flag.Name != "config" {
			continue
		}
		if path, _ := ctx.FlagValue(flag).(string); path != "" {
			return readConfig(kong.ExpandPath(path))
		}
	}
	return nil, nil
}

// configuration is a YAML file as a resolver of flags.
type configuration struct {
	path     string
	values   map[string]*yaml.Node            // by flag
	sections map[string]map[string]*yaml.Node // by command and flag
}

func readConfig(path string) (*configuration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, fmt.Errorf("the configuration file %s cannot be read (%w)", path, err)
	}
	c := &configuration{path: path, sections: map[string]map[string]*yaml.Node{}}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("the configuration file %s is not YAML (%w)", path, err)
	}
	if len(document.Content) == 0 {
		return c, nil // empty, or nothing but comments
	}
	if c.values, err = c.mapping(document.Content[0]); err != nil {
		return nil, err
	}
	for key, node := range c.values {
		if node.Kind != yaml.MappingNode {
			continue
		}
		if c.sections[key], err = c.mapping(node); err != nil {
			return nil, err
		}
		delete(c.values, key)
	}
	return c, nil
}

// mapping gives a YAML mapping by its keys, none of which may come twice.
func (c *configuration) mapping(node *yaml.Node) (map[string]*yaml.Node, error) {
	if node.Kind != yaml.MappingNode {
		return nil, c.wrong(node, "there must be lines of the form flag: value")
	}
	values := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		if values[key.Value] != nil {
			return nil, c.wrong(key, "%s is given twice", key.Value)
		}
		values[key.Value] = value
	}
	return values, nil
}

func (c *configuration) wrong(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s, line %d: %s", c.path, at.Line, fmt.Sprintf(format, args...))
}

// Validate refuses keys that are no flag, and values that their flag cannot hold, of whichever command.
func (c *configuration) Validate(app *kong.Application) error {
	commands := flagsByCommand(app)
	all := map[string][]*kong.Flag{}
	for _, flags := range commands {
		for name, flag := range flags {
			all[name] = append(all[name], flag)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.values)) {
		flags := all[name]
		if flags == nil {
			return c.unknown(c.values[name], name, append(slices.Collect(maps.Keys(all)), slices.Collect(maps.Keys(commands))...))
		}
		for _, flag := range flags {
			if _, err := c.parse(c.values[name], flag); err != nil {
				return err
			}
		}
	}
	for _, command := range slices.Sorted(maps.Keys(c.sections)) {
		flags, section := commands[command], c.sections[command]
		for _, name := range slices.Sorted(maps.Keys(section)) {
			switch flag := flags[name]; {
			case flags == nil:
				return c.unknown(section[name], command, slices.Collect(maps.Keys(commands)))
			case flag == nil:
				return c.unknown(section[name], name, slices.Collect(maps.Keys(flags)))
			default:
				if _, err := c.parse(section[name], flag); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *configuration) unknown(at *yaml.Node, name string, known []string) error {
	slices.Sort(known)
	nearest := slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
	return c.wrong(at, "there is no setting %s; the nearest is %s", name, nearest)
}

// Resolve gives kong the value of a flag that is neither on the command line, where kong looks itself, nor in the
// environment, which kong has read before and would let us overrule.
func (c *configuration) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if environment(flag) != "" {
		return nil, nil
	}
	for _, part := range ctx.Path {
		if part.Command != nil {
			return c.text(c.lookup(part.Command.Name, flag), flag)
		}
	}
	return c.text(c.lookup("", flag), flag)
}

func (c *configuration) lookup(command string, flag *kong.Flag) *yaml.Node {
	if node := c.sections[command][flag.Name]; node != nil {
		return node
	}
	return c.values[flag.Name]
}

// text writes a value as the command line would: kong then reads it by the same rules.
func (c *configuration) text(node *yaml.Node, flag *kong.Flag) (any, error) {
	switch {
	case node == nil:
		return nil, nil
	case node.Kind == yaml.ScalarNode && node.Tag != "!!null":
		return node.Value, nil
	case node.Kind == yaml.SequenceNode && flag.Target.Kind() == reflect.Slice:
		var items []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
				return nil, c.wrong(item, "%s takes a list of plain values", flag.Name)
			}
			items = append(items, item.Value)
		}
		return kong.JoinEscaped(items, flag.Tag.Sep), nil
	default:
		return nil, c.wrong(node, "%s takes one plain value", flag.Name)
	}
}

// parse reads a value of the file as kong will.
func (c *configuration) parse(node *yaml.Node, flag *kong.Flag) (reflect.Value, error) {
	target := reflect.New(flag.Target.Type()).Elem()
	text, err := c.text(node, flag)
	if err != nil {
		return target, err
	}
	if err := parseText(text, flag, target); err != nil {
		return target, c.wrong(node, "%v", err)
	}
	return target, nil
}

// parseText reads a value as kong will, without setting the flag.
func parseText(text any, flag *kong.Flag, target reflect.Value) error {
	defer func(was bool) { flag.Set = was }(flag.Set)
	return flag.Parse(kong.Scan().PushTyped(text, kong.FlagValueToken), target)
}

// flagsByCommand lists what may be set, by command: its own flags and those of every command.
func flagsByCommand(app *kong.Application) map[string]map[string]*kong.Flag {
	commands := map[string]map[string]*kong.Flag{}
	for _, command := range app.Children {
		flags := map[string]*kong.Flag{}
		for _, flag := range slices.Concat(app.Flags, command.Flags) {
			if flag.Name != "help" && flag.Name != "config" {
				flags[flag.Name] = flag
			}
		}
		commands[command.Name] = flags
	}
	return commands
}

// environment names the variable that sets the flag, if one does. An empty one counts.
func environment(flag *kong.Flag) string {
	for _, name := range flag.Envs {
		if _, set := os.LookupEnv(name); set {
			return name
		}
	}
	return ""
}

// distance counts the letters to insert, delete or change between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// Setting is one effective value. Where commands differ, its name is command.flag.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // secrets masked
	Origin string `json:"origin"` // flag, env NAME, file PATH:LINE or default
}

// effective lists every setting as the parsed command line, the environment and the file leave it, for all commands but
// config itself. A flag given to config counts for every command that has it.
func effective(k *kong.Kong, ctx *kong.Context) ([]Setting, error) {
	file, err := openConfig(k, ctx)
	if err != nil {
		return nil, err
	}
	given := map[string]Setting{}
	for _, part := range ctx.Path {
		if part.Flag != nil && !part.Resolved {
			given[part.Flag.Name] = Setting{Value: show(part.Flag.Target), Origin: "flag"}
		}
	}
	found := map[string]map[string]Setting{} // by flag and command
	for command, flags := range flagsByCommand(k.Model) {
		for name, flag := range flags {
			if command == "config" {
				continue
			}
			value, isGiven := given[name]
			if !isGiven {
				if value, err = effectiveOf(flag, command, file); err != nil {
					return nil, err
				}
			}
			if found[name] == nil {
				found[name] = map[string]Setting{}
			}
			found[name][command] = value
		}
	}
	return merged(found), nil
}

func effectiveOf(flag *kong.Flag, command string, file *configuration) (Setting, error) {
	value, origin := flag.Target, "default"
	if name := environment(flag); name != "" {
		// kong makes nothing of a bad value for a command that does not run; who asks for the settings is told.
		target := reflect.New(flag.Target.Type()).Elem()
		if err := parseText(os.Getenv(name), flag, target); err != nil {
			return Setting{}, &usageError{Problem: fmt.Sprintf("%s is set to a wrong value (%v)", name, err), Remedy: "correct it, or unset it"}
		}
		value, origin = target, "env "+name
	} else if file != nil {
		if node := file.lookup(command, flag); node != nil {
			var err error
			if value, err = file.parse(node, flag); err != nil {
				return Setting{}, err
			}
			origin = fmt.Sprintf("file %s:%d", filepath.Base(file.path), node.Line)
		}
	}
	return Setting{Value: show(value), Origin: origin}, nil
}

// merged writes a setting once where all commands agree, else once for each command.
func merged(found map[string]map[string]Setting) []Setting {
	var settings []Setting
	for _, name := range slices.Sorted(maps.Keys(found)) {
		distinct := map[Setting]bool{}
		for _, value := range found[name] {
			distinct[value] = true
		}
		for _, command := range slices.Sorted(maps.Keys(found[name])) {
			value := found[name][command]
			if value.Name = name; len(distinct) > 1 {
				value.Name = command + "." + name
			}
			settings = append(settings, value)
			if len(distinct) == 1 {
				break
			}
		}
	}
	return settings
}

// show writes a value for people. A secret's own String masks it.
func show(value reflect.Value) string {
	if value.Kind() != reflect.Slice {
		return fmt.Sprint(value.Interface())
	}
	var items []string
	for i := range value.Len() {
		items = append(items, fmt.Sprint(value.Index(i).Interface()))
	}
	return strings.Join(items, ",")
}

// printSettings writes the settings as a table or as a JSON array.
func printSettings(w io.Writer, settings []Setting, asJSON bool) error {
	if asJSON {
		return printJSON(w, settings)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SETTING\tVALUE\tORIGIN")
	for _, s := range settings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Origin)
	}
	return table.Flush()
}
