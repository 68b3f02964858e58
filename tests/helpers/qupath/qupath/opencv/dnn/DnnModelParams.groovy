package qupath.opencv.dnn

class DnnModelParams {
    static final String FRAMEWORK_PYTORCH = "PyTorch"
    String framework, layout
    List<File> files

    static Builder builder() {
        return new Builder()
    }

    static class Builder {
        private DnnModelParams parameters = new DnnModelParams()

        Builder framework(String name) {
            parameters.framework = name
            return this
        }

        Builder files(File... files) {
            parameters.files = files as List
            return this
        }

        Builder layout(String axes) {
            parameters.layout = axes
            return this
        }

        DnnModelParams build() {
            return parameters
        }
    }
}
