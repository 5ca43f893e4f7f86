package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// manifest is a plugin as krew knows it:
// https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version          string     `json:"version"`
		Homepage         string     `json:"homepage"`
		ShortDescription string     `json:"shortDescription"`
		Description      string     `json:"description"`
		Platforms        []platform `json:"platforms"`
	} `json:"spec"`
}

type platform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string `json:"uri"`
	SHA256 string `json:"sha256"`
	Bin    string `json:"bin"`
}

func readManifest(path string) (*manifest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	if err := yaml.UnmarshalStrict(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m *manifest) write(path string) error {
	b, err := yaml.Marshal(m)
	if err != nil {
		return err
	}
	fmt.Println(path)
	return os.WriteFile(path, b, 0o644)
}
