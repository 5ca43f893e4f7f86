package controllers

// WebhookChanged is what makes the table be compiled again.
var WebhookChanged = webhookChanged

// QuotesPart is quotesPart.
var QuotesPart = quotesPart
