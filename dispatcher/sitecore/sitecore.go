// Package sitecore knows what the events and workflow commands of Sitecore XM and
// XM Cloud look like: their names, the shape of their data, and how ids are spelt.
package sitecore

// WorkflowCommand is the type of the event that a workflow command is, once no
// ValidationAction refuses it. Nobody else can post events of this type. Its data
// is an object with these members, named as Sitecore names them:
//
//	Workflow       {"Id", "Name"}
//	Command        {"Id", "Name"}
//	PreviousState  {"DisplayName", "FinalState", "Icon", "StateID", "PreviewPublishingTargets"}
//	NextState      the same
//	DataItem       the item, as in events
//	Comments       [{"Key", "Value"}]
//	Message        a string
//	UserName       a string
const WorkflowCommand = "workflow:command"

// CommandSources is how the source of each workflow command of a namespace begins.
// Nobody else can post events with such a source: one could have the identity of a
// command, which would then count as submitted.
func CommandSources(namespace string) string {
	return "/v1/namespaces/" + namespace + "/workflow-commands/"
}
