package qupath.opencv.dnn

import qupath.ext.djl.DjlDnnModelBuilder

/** Without a builder, or where a builder fails, there is no model and no exception. */
class DnnModels {
    private static final Set<DjlDnnModelBuilder> builders = []

    static void reset() {
        builders.clear()
    }

    static boolean registerBuilder(DjlDnnModelBuilder builder) {
        return builders.add(builder)
    }

    static DnnModel buildModel(DnnModelParams parameters) {
        for (builder in builders) {
            try {
                return builder.buildModel(parameters)
            } catch (Exception error) {
                println "log: " + error
            }
        }
        return null
    }
}
