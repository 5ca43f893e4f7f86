package sitecore

// The forms below have their members in the order of Sitecore's own payloads.

var (
	aText      = &form{kind: text}
	aBool      = &form{kind: boolean}
	aNumber    = &form{kind: number}
	aGUID      = &form{kind: guid}
	aList      = &form{kind: list}
	anObject   = &form{kind: object}
	someTexts  = &form{kind: list, elements: aText}
	references = &form{kind: list, elements: &form{kind: reference}}
)

const (
	empty  = "[]"
	noGUID = `"00000000-0000-0000-0000-000000000000"`
)

// fields are those of an item that are kept apart in the same way.
func fields(more ...property) *form {
	return &form{kind: list, elements: &form{kind: object, members: append([]property{
		{name: "Id", form: aGUID, required: true},
		{name: "Value", form: aText},
	}, more...)}}
}

var (
	ofVersion  = property{name: "Version", form: aNumber}
	ofLanguage = property{name: "Language", form: aText}
)

var item = &form{kind: object, members: []property{
	{name: "Language", form: aText, required: true},
	{name: "Version", form: aNumber, required: true},
	{name: "Id", form: aGUID, required: true},
	{name: "Name", form: aText, required: true},
	{name: "ParentId", form: aGUID, required: true},
	{name: "TemplateId", form: aGUID, required: true},
	{name: "TemplateName", form: aText},
	{name: "MasterId", form: aGUID, absent: noGUID},
	{name: "SharedFields", form: fields(), absent: empty},
	{name: "UnversionedFields", form: fields(ofLanguage), absent: empty},
	{name: "VersionedFields", form: fields(ofVersion, ofLanguage), absent: empty},
}}

// changesOf is what was changed of something that is known by a property.
func changesOf(known property) *form {
	return &form{kind: list, elements: &form{kind: object, members: []property{
		known, {name: "Value", form: aText}, {name: "OriginalValue", form: aText},
	}}}
}

var itemChanges = &form{kind: object, members: []property{
	{name: "FieldChanges", form: changesOf(property{name: "FieldId", form: aGUID, required: true}), absent: empty},
	{name: "PropertyChanges", form: changesOf(property{name: "PropertyName", form: aText}), absent: empty},
	{name: "IsUnversionedFieldChanged", form: aBool},
	{name: "IsSharedFieldChanged", form: aBool},
}}

// What is inside of the templates and their fields is not documented, and goes on
// as it came.
var templateChanges = &form{kind: object, members: []property{
	{name: "Changes", form: &form{kind: list, elements: &form{kind: object, members: []property{
		{name: "Action", form: aNumber}, {name: "SourceField", form: anObject}, {name: "TargetField", form: &form{kind: anything}},
	}}}, absent: empty},
	{name: "PreferredLanguage", form: anObject},
	{name: "PreferredVersion", form: anObject},
	{name: "Source", form: anObject},
	{name: "Target", form: anObject},
}}

var publisherOptions = &form{kind: object, members: []property{
	{name: "CompareRevisions", form: aBool},
	{name: "Deep", form: aBool},
	{name: "FromDate", form: aText},
	{name: "Mode", form: aText},
	{name: "PublishDate", form: aText},
	{name: "PublishingTargets", form: references, absent: empty},
	{name: "RepublishAll", form: aBool},
	{name: "RecoveryId", form: aGUID},
	{name: "SourceDatabaseName", form: aText},
	{name: "TargetDatabaseName", form: aText},
	{name: "RootItemId", form: aGUID},
	{name: "UserName", form: aText},
	{name: "WillBeQueued", form: aBool},
	{name: "Languages", form: someTexts, absent: empty},
}}

var statusChanges = &form{kind: object, members: []property{
	{name: "CurrentLanguageName", form: aText},
	{name: "CurrentTargetName", form: aText},
	{name: "Expired", form: aBool},
	{name: "Failed", form: aBool},
	{name: "IsDone", form: aBool},
	{name: "Messages", form: someTexts, absent: empty},
	{name: "Processed", form: aNumber},
	{name: "State", form: aNumber},
}}

var workflowState = &form{kind: object, members: []property{
	{name: "DisplayName", form: aText, absent: `""`},
	{name: "FinalState", form: aBool, absent: "false"},
	{name: "Icon", form: aText, absent: `""`},
	{name: "StateID", form: &form{kind: braced}, required: true},
	{name: "PreviewPublishingTargets", form: aList, absent: empty},
}}

// needs is data with these members, all of which have to be there.
func needs(members ...property) *form {
	for i := range members {
		members[i].required = true
	}
	return &form{kind: object, members: members}
}

var (
	theItem    = property{name: "Item", form: item}
	theOptions = property{name: "PublisherOptions", form: publisherOptions}
)

// catalogue holds the data of Sitecore's events, by their names.
var catalogue = map[string]*form{
	"item:added":            needs(theItem),
	"item:versionAdded":     needs(theItem),
	"item:cloneAdded":       needs(theItem),
	"item:locked":           needs(theItem),
	"item:unlocked":         needs(theItem),
	"item:versionRemoved":   needs(theItem),
	"item:deleting":         needs(theItem),
	"item:deleted":          needs(theItem, property{name: "ParentID", form: aGUID}),
	"item:saved":            needs(theItem, property{name: "Changes", form: itemChanges}),
	"item:copied":           needs(property{name: "Source", form: item}, property{name: "Copy", form: item}),
	"item:moved":            needs(theItem, property{name: "OldParentID", form: aGUID}),
	"item:renamed":          needs(theItem, property{name: "OldName", form: aText}),
	"item:sortorderchanged": needs(theItem, property{name: "OldValue", form: aText}),
	"item:templateChanged":  needs(theItem, property{name: "TemplateChanges", form: templateChanges}),
	"publish:begin":         needs(theOptions),
	"publish:end":           needs(theOptions),
	"publish:statusUpdated": needs(property{name: "Status", form: statusChanges}),
	"publish:fail":          needs(theOptions, property{name: "Exception", form: &form{kind: anything}}),
}

// named is what has an id and a name.
var named = &form{kind: object, members: []property{
	{name: "Id", form: &form{kind: braced}}, {name: "Name", form: aText},
}}

var comments = &form{kind: list, elements: &form{kind: object, members: []property{
	{name: "Key", form: aText}, {name: "Value", form: aText},
}}}

// command is the data of a [WorkflowCommand].
var command = &form{kind: object, members: []property{
	{name: "Workflow", form: named},
	{name: "Command", form: named},
	{name: "PreviousState", form: workflowState},
	{name: "NextState", form: workflowState},
	{name: "DataItem", form: item, required: true},
	{name: "Comments", form: comments, absent: empty},
	{name: "Message", form: aText},
	{name: "UserName", form: aText},
}}

// action is what a workflow action is told of that, before the name of the workflow.
var action = []property{
	{name: "Comments", form: comments, absent: empty},
	{name: "DataItem", form: item, absent: "null"},
	{name: "Message", form: aText, absent: `""`},
	{name: "NextState", form: workflowState, absent: "null"},
	{name: "PreviousState", form: workflowState, absent: "null"},
	{name: "UserName", form: aText, absent: `""`},
}

// dataOf returns what the data of events of a type has to be, nil for those that
// Sitecore does not know.
func dataOf(eventType string) *form {
	if eventType == WorkflowCommand {
		return command
	}
	return catalogue[eventType]
}
