// Command images makes container images of Go programs without a container
// engine and without a registry ("make images"). For each program it writes an
// OCI archive that has an image FROM scratch for each platform, and for each
// platform a bill of materials. Equal sources, version and time make equal bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/postrider/postrider/hack/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s, err := parse(args, os.Getenv, os.Stderr)
	if err != nil {
		return err
	}
	for _, pkg := range s.packages {
		p, err := build.Find(ctx, pkg)
		if err != nil {
			return err
		}
		if s.name != "" {
			p.Name = s.name
		}
		if s.rootfs != "" {
			err = s.writeRootfs(ctx, p)
		} else {
			err = s.writeArchive(ctx, p)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// writeRootfs writes the files of an image to a folder, for those who have a
// container engine make the image (see Dockerfile).
func (s settings) writeRootfs(ctx context.Context, p build.Program) error {
	binary, err := p.Compile(ctx, s.platforms[0].OS, s.platforms[0].Architecture, s.version)
	if err != nil {
		return err
	}
	files, err := scaffold()
	if err != nil {
		return err
	}
	return writeTree(s.rootfs, append(files, binaryFile(p.Name, binary)))
}

// writeArchive writes OUT/NAME.tar and a bill of materials beside it for each platform.
func (s settings) writeArchive(ctx context.Context, p build.Program) error {
	reference, err := s.reference(p.Name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	if err := s.removeMaterials(p); err != nil {
		return err
	}
	var a archive
	for _, platform := range s.platforms {
		binary, err := p.Compile(ctx, platform.OS, platform.Architecture, s.version)
		if err != nil {
			return err
		}
		l := s.label(p)
		img, err := image(p.Name, binary, platform, l)
		if err != nil {
			return err
		}
		bom, err := materials(binary, img, platform, l)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(s.out, p.Name+"."+platform.OS+"-"+platform.Architecture+".cdx.json"), bom, 0o644); err != nil {
			return err
		}
		a.add(img, platform)
	}
	path := filepath.Join(s.out, p.Name+".tar")
	digest, err := a.write(path, reference)
	if err != nil {
		return err
	}
	fmt.Println(path, reference, digest)
	return nil
}

// removeMaterials removes the bills of an archive that was here before, which
// may have been for other platforms.
func (s settings) removeMaterials(p build.Program) error {
	old, err := filepath.Glob(filepath.Join(s.out, p.Name+".*.cdx.json"))
	for _, path := range old {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
